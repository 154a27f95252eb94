export {
  destroyContainerd,
  openImages,
  startContainerd,
  type Containerd,
  type ContainerdOptions,
} from './containerd.ts'
export { checkHost, findTool, type HostProblem } from './host.ts'
export {
  BUSYBOX_IMAGE,
  busyboxImage,
  busyboxLayer,
  DEMO_IMAGE,
  demoImage,
  type Busybox,
  type Images,
  LOCAL_REGISTRY,
  PAUSE_IMAGE,
  readBusybox,
  type StoredImage,
} from './images.ts'
export {
  buildImage,
  type BuiltImage,
  type ImageConfig,
  type ImageSpec,
  type LayerEntry,
} from './oci.ts'
