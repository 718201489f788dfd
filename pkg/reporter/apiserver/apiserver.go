// Package apiserver is the handful of requests that the reporter makes of the API server.
//
// Purpose: small. client-go's own clients know every kind of Kubernetes', and make up half of a program that runs on each GPU node
// and does five things: these are made of its lower layer, with its credentials, retries and rate limits.
//
// Invariants: an apply takes what it is given as all that this field manager has to say, and takes it by force: the keys are ours.
// Errors are those of the API server, as k8s.io/apimachinery/pkg/api/errors knows them.
//
// Cost: each sort of request has a rate limit of its own, so that strangers who ask for metrics do not use up that of the reports.
package apiserver

import (
	"context"
	"encoding/json"
	"errors"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
	coordination "k8s.io/api/coordination/v1"
	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

// Manager is the field manager of what the reporter writes.
const Manager = "phalanx-reporter"

// Client asks the API server. It may be used by several goroutines.
type Client struct {
	nodes, leases, tokens, accesses rest.Interface
	parameters                      runtime.ParameterCodec
}

// New returns a client.
func New(config *rest.Config) (*Client, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	for _, add := range []func(*runtime.Scheme) error{authentication.AddToScheme, authorization.AddToScheme, coordination.AddToScheme, core.AddToScheme} {
		if err := add(scheme); err != nil {
			return nil, err
		}
	}
	c, errs := &Client{parameters: runtime.NewParameterCodec(scheme)}, make([]error, 4)
	codecs := serializer.NewCodecFactory(scheme).WithoutConversion()
	of := func(version schema.GroupVersion, into *rest.Interface, err *error) {
		own := rest.CopyConfig(config)
		own.APIPath, own.GroupVersion, own.NegotiatedSerializer = "/apis", &version, codecs
		if version.Group == "" {
			own.APIPath = "/api"
		}
		*into, *err = rest.RESTClientFor(own)
	}
	of(core.SchemeGroupVersion, &c.nodes, &errs[0])
	of(coordination.SchemeGroupVersion, &c.leases, &errs[1])
	of(authentication.SchemeGroupVersion, &c.tokens, &errs[2])
	of(authorization.SchemeGroupVersion, &c.accesses, &errs[3])
	return c, errors.Join(errs...)
}

// Node gets a node. What the API server remembers is good enough.
func (c *Client) Node(ctx context.Context, name string) (*core.Node, error) {
	node := &core.Node{}
	err := c.nodes.Get().Resource("nodes").Name(name).VersionedParams(&metav1.GetOptions{ResourceVersion: "0"}, c.parameters).Do(ctx).Into(node)
	return node, err
}

// ApplyNodeStatus applies a part of a node through its status.
func (c *Client) ApplyNodeStatus(ctx context.Context, name string, part map[string]any) error {
	return c.apply(ctx, c.nodes.Patch(types.ApplyYAMLPatchType).Resource("nodes").Name(name).SubResource("status"), part)
}

// ApplyLease applies a Lease, and makes it if need be.
func (c *Client) ApplyLease(ctx context.Context, namespace, name string, part map[string]any) error {
	return c.apply(ctx, c.leases.Patch(types.ApplyYAMLPatchType).Namespace(namespace).Resource("leases").Name(name), part)
}

func (c *Client) apply(ctx context.Context, request *rest.Request, part map[string]any) error {
	text, err := json.Marshal(part)
	if err != nil {
		return err
	}
	isForced := true
	return request.VersionedParams(&metav1.PatchOptions{FieldManager: Manager, Force: &isForced}, c.parameters).Body(text).Do(ctx).Error()
}

// ReviewToken asks who a token is of.
func (c *Client) ReviewToken(ctx context.Context, review *authentication.TokenReview) (*authentication.TokenReview, error) {
	answer := &authentication.TokenReview{}
	err := c.tokens.Post().Resource("tokenreviews").Body(review).Do(ctx).Into(answer)
	return answer, err
}

// ReviewAccess asks whether somebody may do something.
func (c *Client) ReviewAccess(ctx context.Context, review *authorization.SubjectAccessReview) (*authorization.SubjectAccessReview, error) {
	answer := &authorization.SubjectAccessReview{}
	err := c.accesses.Post().Resource("subjectaccessreviews").Body(review).Do(ctx).Into(answer)
	return answer, err
}
