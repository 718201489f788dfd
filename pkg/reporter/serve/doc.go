// Package serve tells what the reporter does to those who may know: metrics and health over HTTPS.
//
// Purpose: what moves in a GPU is for people and alerts, and belongs into metrics. Health is for the kubelet.
//
//	/livez    the loop turns
//	/readyz   the last round succeeded
//	/metrics  for whom the cluster allows to get this path: asked of the API server, as kube-scheduler does
//
// The gate is written here, of a TokenReview and a SubjectAccessReview, since the packages of k8s.io/apiserver that do the same
// weigh more than the whole reporter, with an interpreter of CEL and gRPC among them: this runs on each GPU node. It knows
// tokens only, no client certificates, and so needs no right to read their authority.
//
// Invariants: there is no plain HTTP, and nothing before TLS 1.2. Without a token that the API server vouches for the
// answer is 401, without the right 403, and 503 if nobody can be asked: never the metrics. Series are per GPU, not per pod, and those
// of a GPU that does not answer go.
//
// Cost: two requests to the API server each 10 s for who scrapes, within a rate limit of its own, so that strangers cannot use
// up the reporter's; at most [maxReviews] at a time, and [maxAnswers] answers are remembered.
package serve
