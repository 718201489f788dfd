// Package offer knows what GPUs a node offers to one more pod: those that the pod can use, as far as anybody but the kubelet can
// know.
//
//	Node, with its report ──┐
//	what its pods hold ─────┼─► Offer ─► Refusal: why a pod may not come, if it may not
//	whether its report is ──┘      └───► Merits: how good it would be to put the pod there
//	stale
//
// With the device plugin only the kubelet chooses GPUs, the scheduler the node. So a wish about each GPU holds on a node only
// if every GPU that the plugin may hand out fulfils it, and one GPU that must not get pods closes the node to all of them. The
// GPUs that may be handed out are those of the report that no pod shows it holds. How a GPU counts:
//
//	GPU                                     for a new pod
//	ok, nobody shows it                     free
//	a pod shows that it holds it            taken, whatever its state: it closes nothing
//	degraded                                as if it were ok, the node is scored down
//	drain or lost, nobody shows it          closes the node, unless allocatable is below capacity by it: then the plugin
//	                                        knows and hands it out to nobody
//	missing from the report                 the same
//	any of these, the report is stale       the same: see docs/adr/0011
//	memory in use though nobody shows it    no GPU for a pod that wishes for memory, unless pods run that show nothing
//	cut into MIG instances                  none: the instances have resource names of their own
//	not in the report, but in capacity      free, but unknown to wishes
//	a ResourceClaim holds it                closes the node if the device plugin could hand it out as well
//
// How a node counts:
//
//	no report, or a bad one                 plain counting; wishes are held against the labels of GPU feature discovery
//	the report is stale                     product, memory size, links and trouble hold; that a GPU is well and what of its
//	                                        memory is free are unknown, and the node is scored down a little
//	pods that show no GPUs                  as many free GPUs are taken, but nobody knows which
//	MIG is being reconfigured               no GPUs
//	links to the switches are down          no GPUs for containers with more than one
//	more GPUs in the report than capacity   the report is bad, unless a DRA driver offers the others: these count for nobody here
//	no capacity, but a DRA driver           as if the driver were the device plugin, and claims were pods that show what they hold;
//	                                        which GPUs a pod would get is not foretold
//
// What DRA says of a node comes from package claims. A plugin and a driver that have the same GPUs know nothing of each other, and
// NVIDIA tells to run but one of them on a node; here no GPU is promised twice even so, as far as the claim came first. The other way
// round nobody is asked: a claim for a GPU that a plugin's pod holds is the business of the core's plugin DynamicResources.
//
// Which GPUs a pod holds it shows in its status (allocatedResourcesStatus, on by default from Kubernetes 1.36 on), some moments
// after it was placed. Until then, and with an older kubelet for ever, what is known is how many it holds. GPUs of pods that
// were placed and do not show theirs yet are the ones that are promised: there is no other account of them, since the
// framework counts a pod among its node's from the moment of the decision on, and after a restart again.
//
// What it misses: a GPU that is drained or lost counts as free where pods do not show what they hold, even if one of them holds
// it: the node is closed until they show it, or the plugin sees it too. A pod that shows nothing explains the memory in use on
// one GPU, whichever. Of devices that the plugin alone takes for unhealthy nobody says which they are: one of them excuses one that
// the reporter alone takes for it (rule_test.go shows how often). What a pod gets is foretold only where it is known which GPUs are
// free, or will be but for pods that want as many GPUs and are served about when it is; else links count for as much as the worst
// choice of them. Of such a pod it is taken for granted that the GPUs that are free now were so when it was served.
//
// Invariants: a [Node] and an [Offer] never change, but for what a report remembers of forecasts. Nothing here can make a node
// offer more than its allocatable. The same inputs give the same answers; reasons are the same text on every node.
//
// Cost: reading a report is two passes over it, once per change of its text. An offer is a walk over the node's pods, a refusal
// and merits one over its GPUs, and for several GPUs a forecast, which is remembered.
package offer
