/** What the parameters of requests mean, for those who read the API's description instead of a manual. */
const MEANINGS: Readonly<Record<string, string>> = {
  allowWatchBookmarks: 'Asks a watch for events that tell nothing but how far it has come.',
  command:
    'The program to run and its arguments, one parameter for each word; no shell reads them.',
  container: 'Which container of the pod; may be left out when there is one.',
  continue: 'Where the last page of a list ended, as its metadata said; gives the next page.',
  dryRun: 'All: everything is checked and answered, and nothing is stored.',
  fieldManager:
    'Who is noted as owner of the fields that change; at most 128 printable characters.',
  fieldSelector: 'Keeps the list of returned objects to those whose fields have these values.',
  fieldValidation:
    'What happens to unknown and duplicate fields: Ignore drops them, Warn drops and tells, Strict refuses.',
  follow: 'Goes on with what the container says from now on.',
  force: 'Lets an apply take fields that others own; for apply patches only.',
  gracePeriodSeconds: 'How long the object may take to end, in seconds; 0 is at once.',
  ignoreStoreReadErrorWithClusterBreakingPotential:
    'Deletes an object that cannot be read, without finalizers and preconditions.',
  insecureSkipTLSVerifyBackend:
    'Reads the log even when the certificate of the kubelet is not good.',
  labelSelector: 'Keeps the list of returned objects to those whose labels match.',
  limit: 'The most items of one page; where there are more, the answer says how to go on.',
  limitBytes: 'The most bytes of the log.',
  orphanDependents: 'An older form of propagationPolicy: whether dependents stay.',
  path: 'What follows the address of the server that is behind the proxy.',
  ports: 'Ports to forward; needed over WebSockets.',
  pretty: 'Whether the answer is indented for people.',
  previous: "The log of the container's last run before this one.",
  propagationPolicy:
    'What becomes of dependents: Orphan leaves them, Background deletes them afterwards, Foreground before.',
  resourceVersion: 'How new the answer must be, or where a watch begins.',
  resourceVersionMatch: 'How resourceVersion is meant: Exact, or NotOlderThan.',
  sendInitialEvents:
    'Begins a watch with what there is already, and marks its end with a bookmark.',
  shardSelector: 'Keeps to one part of the objects, by a hash.',
  sinceSeconds: 'How far back the log begins, in seconds.',
  stderr: 'Whether what is said on standard error is sent.',
  stdin: 'Whether standard input is received.',
  stdout: 'Whether what is said on standard output is sent.',
  stream: 'Which of the outputs of the container: All, Stdout or Stderr.',
  tailLines: 'How many lines from the end.',
  timeoutSeconds: 'After how many seconds the answer ends, however much there would be.',
  timestamps: 'Begins each line with its time.',
  tty: 'Whether there is a terminal.',
  watch: 'Watch for changes to the described resources: the answer is a stream instead of a list.',
}

/** Members of a parameter; empty for a name that nobody described. */
export const meaningOf = (name: string): { readonly description?: string } => {
  const description = Object.hasOwn(MEANINGS, name) ? MEANINGS[name] : undefined
  return description === undefined ? {} : { description }
}
