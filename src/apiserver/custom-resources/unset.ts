/** Whether a member of a schema says nothing: what is absent and what is empty are the same to Kubernetes. */
export const isUnset = (value: unknown): boolean =>
  value === undefined ||
  value === '' ||
  value === false ||
  (Array.isArray(value) && value.length === 0)
