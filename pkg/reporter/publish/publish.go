package publish

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/phalanx-scheduler/phalanx/pkg/gang"
	"github.com/phalanx-scheduler/phalanx/pkg/gpu"
)

const (
	worsePause  = 10 * time.Second
	otherPause  = time.Minute
	leasePeriod = 25 * time.Second
	// leaseDuration is after how long a reader should think the reporter dead. It is for readers that do not know better.
	leaseDuration = 3 * time.Minute
	lookPeriod    = 5 * time.Minute

	firstBackoff = time.Second
	lastBackoff  = time.Minute
	// requestLimit is how long the API server may take.
	requestLimit = 10 * time.Second
)

// Request is what is asked of the API server.
type Request string

// The requests.
const (
	Look  Request = "get"
	Write Request = "write"
	Renew Request = "lease"
)

// API is the API server.
type API interface {
	Node(ctx context.Context, name string) (*v1.Node, error)
	ApplyNodeStatus(ctx context.Context, name string, part map[string]any) error
	ApplyLease(ctx context.Context, namespace, name string, part map[string]any) error
}

// Options say where to publish.
type Options struct {
	API API
	// Node is the node's name, Namespace that of the Lease, Holder who holds it: the pod.
	Node, Namespace, Holder string
	// Done hears of each request that has been made.
	Done func(Request, error)
	Log  *slog.Logger
}

// Publisher publishes the latest report that it is offered. Offer may be called from one goroutine while Run runs on another.
type Publisher struct {
	Options
	wake chan struct{}

	mu      sync.Mutex
	latest  *offer
	wholeAt time.Time // of the last whole round

	// What belongs to Run: what is known of the node, and when what was done.
	uid       types.UID
	shown     face
	since     time.Time // that the condition has its status
	lookedAt  time.Time // zero if what is shown is not known
	wroteAt   time.Time
	renewedAt time.Time
	failures  int
	notBefore time.Time
}

// Published returns the report that the node shows, nil if it shows none that can be read. It may be called while Run runs.
func (p *Publisher) Published(ctx context.Context) (*gpu.Report, error) {
	ctx, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	node, err := p.API.Node(ctx, p.Node)
	if err != nil {
		return nil, err
	}
	report, err := gpu.Parse([]byte(node.Annotations[gang.GPUReportKey]))
	if err != nil {
		return nil, nil // and is about to show one that can be
	}
	return &report, nil
}

// offer is a report to publish.
type offer struct {
	report *gpu.Report
	face   face
}

// New returns a publisher that has nothing to publish yet.
func New(options Options) *Publisher {
	return &Publisher{Options: options, wake: make(chan struct{}, 1)}
}

// Offer hands over the latest report, of a whole round or not. It does not wait.
func (p *Publisher) Offer(report *gpu.Report, text []byte, isWhole bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latest = &offer{report, faceOf(report, text)}
	if isWhole {
		p.wholeAt = time.Now()
	}
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// Run publishes until the context is done.
func (p *Publisher) Run(ctx context.Context) {
	for ctx.Err() == nil {
		timer := time.NewTimer(max(0, time.Until(p.step(ctx))))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-p.wake:
		}
		timer.Stop()
	}
}

// step does one thing that is due, and returns when the next is.
func (p *Publisher) step(ctx context.Context) time.Time {
	p.mu.Lock()
	latest, wholeAt := p.latest, p.wholeAt
	p.mu.Unlock()
	now := time.Now()
	switch {
	case now.Before(p.notBefore):
		return p.notBefore
	case latest == nil:
		return now.Add(lookPeriod)
	}
	next := p.lookedAt.Add(lookPeriod)
	if p.lookedAt.IsZero() || !now.Before(next) {
		return p.do(ctx, Look, p.look)
	}
	if !latest.face.equal(p.shown) {
		pause := otherPause
		if isWorse(p.shown.report, latest.report) {
			pause = worsePause
		}
		due := p.wroteAt.Add(pause)
		if !now.Before(due) {
			return p.do(ctx, Write, func(ctx context.Context) error { return p.write(ctx, latest.face) })
		}
		next = earlier(next, due)
	}
	if wholeAt.After(p.renewedAt) {
		due := p.renewedAt.Add(leasePeriod)
		if !now.Before(due) {
			return p.do(ctx, Renew, p.renew)
		}
		next = earlier(next, due)
	}
	return next
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// do makes a request, and returns when the next may be made.
func (p *Publisher) do(ctx context.Context, what Request, request func(context.Context) error) time.Time {
	limited, cancel := context.WithTimeout(ctx, requestLimit)
	defer cancel()
	err := request(limited)
	p.Done(what, err)
	now := time.Now()
	switch {
	case err == nil && p.failures > 0:
		p.Log.Info("The API server answers again", "failures", p.failures)
		p.failures = 0
	case err != nil:
		if p.failures == 0 && ctx.Err() == nil {
			p.Log.Warn("A request to the API server failed. It is tried again", "request", what, "node", p.Node, "reason", err)
		}
		p.failures++
		p.lookedAt = time.Time{} // the request may have been done all the same
		p.notBefore = now.Add(backoff(p.failures))
		return p.notBefore
	}
	return now
}

// backoff is the pause after so many failures. What is random in it keeps many nodes from coming back in step.
func backoff(failures int) time.Duration {
	longest := firstBackoff
	for range failures - 1 {
		longest = min(2*longest, lastBackoff)
	}
	return longest/2 + rand.N(longest/2) // #nosec G404 -- nobody gains by guessing it
}

// look finds out what the node shows.
func (p *Publisher) look(ctx context.Context) error {
	node, err := p.API.Node(ctx, p.Node)
	if err != nil {
		return err
	}
	p.uid, p.lookedAt = node.UID, time.Now()
	p.shown, p.since = faceOn(node)
	return nil
}

func (p *Publisher) write(ctx context.Context, f face) error {
	now, since := time.Now(), p.since
	if f.condition.Status != p.shown.condition.Status || since.IsZero() {
		since = now
	}
	p.wroteAt = now
	if err := p.API.ApplyNodeStatus(ctx, p.Node, f.part(p.Node, now, since)); err != nil {
		return err
	}
	p.shown, p.since = f, since
	return nil
}

// renew gives the sign of life. The Lease goes when the node does.
func (p *Publisher) renew(ctx context.Context) error {
	now := time.Now()
	owner := metav1.OwnerReference{APIVersion: "v1", Kind: "Node", Name: p.Node, UID: p.uid}
	if err := p.API.ApplyLease(ctx, p.Namespace, p.Node, map[string]any{
		"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
		"metadata": map[string]any{"name": p.Node, "namespace": p.Namespace, "ownerReferences": []metav1.OwnerReference{owner}},
		"spec": map[string]any{
			"holderIdentity": p.Holder, "leaseDurationSeconds": int(leaseDuration.Seconds()), "renewTime": metav1.NewMicroTime(now),
		},
	}); err != nil {
		return err
	}
	p.renewedAt = now
	return nil
}
