export { accessMetrics, type AccessMetrics } from './access.ts'
export { admissionMetrics, type AdmissionMetrics, type AdmissionStep } from './admission.ts'
export { RequestMetrics, storageCounts, type RequestLabels } from './requests.ts'
