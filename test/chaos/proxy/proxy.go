// Package proxy stands between one client and the API server and plays what networks, load balancers and API servers do to
// clients.
//
// Purpose: the scheduler is run against the proxy, and the proxy's [Plan] says how often what goes wrong. Invariants: which fault
// befalls the n-th request follows from the seed alone; what was done is counted ([Proxy.Counts]), so that a test can tell that it
// tried what it claims to have tried. Requests pass with the client's own credentials: the proxy has none.
//
// Cost: connections of its own to the API server, and a copy of every byte.
package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"log"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Fault is something that goes wrong.
type Fault string

// The faults. The first ones befall requests, the last ones watches that run.
const (
	Throttled Fault = "429 with Retry-After" // not passed on
	Failed    Fault = "500"                  // not passed on
	Hung      Fault = "hangs"                // not passed on, and not answered until the faults end
	Reset     Fault = "connection reset"     // not passed on, and the connection with all its streams is cut
	Lost      Fault = "reply lost"           // passed on and done, but the client does not hear of it

	Cut     Fault = "watch cut"
	Expired Fault = "410 on a watch"
	Late    Fault = "late event"
	Twice   Fault = "event told twice"
)

// Faults are all of them.
var Faults = []Fault{Throttled, Failed, Hung, Reset, Lost, Cut, Expired, Late, Twice}

// Plan says what goes wrong: the share of requests, or of a watch's events, that each fault befalls. Shares of Lost are those of
// requests that write. The zero value is a network that works.
type Plan struct {
	Shares map[Fault]float64
	// Delay is how long late events are late, with all that come after them.
	Delay time.Duration
	// Only limits faults of requests to some, nil to none.
	Only func(*http.Request) bool
}

// Proxy is a proxy that runs.
type Proxy struct {
	server   *httptest.Server
	upstream *url.URL
	pass     *httputil.ReverseProxy

	mu     sync.Mutex
	random *rand.Rand
	plan   Plan
	calm   chan struct{} // closed when the plan changes
	counts map[Fault]int
	binds  BindHook
}

// BindHook is called for each request that binds a pod: before it is passed on, and when it was answered, before the client hears
// of it. It may take its time. If it is false the request goes no further, or its answer.
type BindHook func(isAnswered bool) bool

// Start starts a proxy in front of an API server, whose certificate is checked.
func Start(upstream *rest.Config, seed uint64) (*Proxy, error) {
	target, err := url.Parse(upstream.Host)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(upstream.CAData) {
		return nil, errors.New("the API server's certificate authority cannot be read")
	}
	p := &Proxy{upstream: target, random: rand.New(rand.NewPCG(seed, 0)), calm: make(chan struct{}), counts: map[Fault]int{}}
	quiet := log.New(discard{}, "", 0)
	p.pass = &httputil.ReverseProxy{
		Rewrite:      func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = target.Host },
		Transport:    &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true, DisableCompression: true},
		ErrorLog:     quiet,
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) }, // as without a proxy
	}
	p.server = httptest.NewUnstartedServer(p)
	p.server.EnableHTTP2 = true
	p.server.Config.ErrorLog = quiet
	p.server.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, connection{}, c) }
	p.server.StartTLS()
	return p, nil
}

type discard struct{}

func (discard) Write(text []byte) (int, error) { return len(text), nil }

// connection is the key of a request's connection in its context.
type connection struct{}

// Stop ends all connections.
func (p *Proxy) Stop() {
	p.Play(Plan{})
	p.server.CloseClientConnections()
	p.server.Close()
	p.pass.Transport.(*http.Transport).CloseIdleConnections()
}

// Kubeconfig returns a kubeconfig for the same user by way of the proxy.
func (p *Proxy) Kubeconfig(kubeconfig []byte) ([]byte, error) {
	config, err := clientcmd.Load(kubeconfig)
	if err != nil {
		return nil, err
	}
	for _, c := range config.Clusters {
		c.Server = p.server.URL
		c.CertificateAuthorityData = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw})
	}
	return clientcmd.Write(*config)
}

// Play replaces the plan. Requests that hang by the last one are cut.
func (p *Proxy) Play(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
	close(p.calm)
	p.calm = make(chan struct{})
}

// OnBind replaces the hook.
func (p *Proxy) OnBind(hook BindHook) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.binds = hook
}

// Counts is how often each fault was done.
func (p *Proxy) Counts() map[Fault]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// draw says whether the fault befalls what comes now, and counts it.
func (p *Proxy) draw(fault Fault) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	share := p.plan.Shares[fault]
	if share == 0 || p.random.Float64() >= share {
		return false
	}
	p.counts[fault]++
	return true
}

func (p *Proxy) isConcerned(r *http.Request) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.plan.Only == nil || p.plan.Only(r)
}

// ServeHTTP implements http.Handler.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	isBind := IsBind(r)
	if isBind && !p.mayGoOn(false) {
		panic(http.ErrAbortHandler)
	}
	isConcerned := p.isConcerned(r)
	if isConcerned && p.refuse(w, r) {
		return
	}
	if isWatch(r) {
		p.watch(w, r)
		return
	}
	isLost := isConcerned && isWrite(r) && p.draw(Lost)
	if !isBind && !isLost {
		p.pass.ServeHTTP(w, r)
		return
	}
	reply := httptest.NewRecorder()
	if isLost { // it is done, even if the client gives up
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	p.pass.ServeHTTP(reply, r)
	if isBind && !p.mayGoOn(true) || isLost {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), reply.Header())
	w.WriteHeader(reply.Code)
	_, _ = w.Write(reply.Body.Bytes())
}

// refuse answers a request in the API server's place, if a fault befalls it.
func (p *Proxy) refuse(w http.ResponseWriter, r *http.Request) bool {
	switch {
	case p.draw(Throttled):
		w.Header().Set("Retry-After", "1")
		http.Error(w, "too many requests", http.StatusTooManyRequests)
	case p.draw(Failed):
		http.Error(w, "the proxy plays an error", http.StatusInternalServerError)
	case p.draw(Hung):
		p.mu.Lock()
		calm := p.calm
		p.mu.Unlock()
		select {
		case <-calm:
		case <-r.Context().Done():
		}
		panic(http.ErrAbortHandler)
	case p.draw(Reset):
		reset(r.Context().Value(connection{}).(net.Conn))
		panic(http.ErrAbortHandler)
	default:
		return false
	}
	return true
}

// reset cuts a connection so that the other side sees no orderly end.
func reset(c net.Conn) {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	if t, ok := c.(*net.TCPConn); ok {
		_ = t.SetLinger(0)
	}
	_ = c.Close()
}

func (p *Proxy) mayGoOn(isAnswered bool) bool {
	p.mu.Lock()
	hook := p.binds
	p.mu.Unlock()
	return hook == nil || hook(isAnswered)
}

// IsBind is true for a request that binds a pod: /api/v1/namespaces/NAMESPACE/pods/NAME/binding.
func IsBind(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasPrefix(r.URL.Path, "/api/v1/namespaces/") && strings.HasSuffix(r.URL.Path, "/binding")
}

func isWrite(r *http.Request) bool { return r.Method != http.MethodGet && r.Method != http.MethodHead }

func isWatch(r *http.Request) bool {
	value := r.URL.Query().Get("watch")
	return value == "true" || value == "1"
}

// Describe lists counts for people, in a stable order.
func Describe(counts map[Fault]int) string {
	var parts []string
	for _, fault := range Faults {
		if counts[fault] > 0 {
			parts = append(parts, fmt.Sprintf("%s: %d", fault, counts[fault]))
		}
	}
	return strings.Join(parts, ", ")
}
