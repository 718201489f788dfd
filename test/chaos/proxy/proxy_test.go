package proxy

import (
	"bufio"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// patience is how long a test waits for what will come.
const patience = 30 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// upstream is an API server that has one pod, and tells watchers of it three times.
type upstream struct {
	requests atomic.Int32
	token    atomic.Value
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	u.token.Store(r.Header.Get("Authorization"))
	if !isWatch(r) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}`)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	for range 3 {
		fmt.Fprintln(w, `{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p"}}}`)
		w.(http.Flusher).Flush()
	}
	<-r.Context().Done()
}

// setUp returns a client by way of a proxy.
func setUp(t *testing.T, contentType string) (*upstream, *Proxy, kubernetes.Interface) {
	t.Helper()
	u := &upstream{}
	server := httptest.NewUnstartedServer(u)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	p, err := Start(&rest.Config{Host: server.URL, TLSClientConfig: rest.TLSClientConfig{CAData: certificate}}, 1)
	require.NoError(t, err)
	t.Cleanup(p.Stop)
	direct := clientcmdapi.NewConfig()
	direct.Clusters["c"] = &clientcmdapi.Cluster{Server: server.URL, CertificateAuthorityData: certificate}
	direct.AuthInfos["u"] = &clientcmdapi.AuthInfo{Token: "token"}
	direct.Contexts["x"] = &clientcmdapi.Context{Cluster: "c", AuthInfo: "u"}
	direct.CurrentContext = "x"
	kubeconfig, err := clientcmd.Write(*direct)
	require.NoError(t, err)
	kubeconfig, err = p.Kubeconfig(kubeconfig)
	require.NoError(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	require.NoError(t, err)
	config.ContentType = contentType
	httpClient, err := rest.HTTPClientFor(config)
	require.NoError(t, err)
	t.Cleanup(httpClient.CloseIdleConnections)
	client, err := kubernetes.NewForConfigAndClient(config, httpClient)
	require.NoError(t, err)
	return u, p, client
}

func always(faults ...Fault) Plan {
	plan := Plan{Shares: map[Fault]float64{}}
	for _, f := range faults {
		plan.Shares[f] = 1
	}
	return plan
}

func TestRequests(t *testing.T) {
	bind := func(ctx context.Context, client kubernetes.Interface) error {
		return client.CoreV1().Pods("ns").Bind(ctx, &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}}, metav1.CreateOptions{})
	}
	get := func(ctx context.Context, client kubernetes.Interface) error {
		_, err := client.CoreV1().Pods("ns").Get(ctx, "p", metav1.GetOptions{})
		return err
	}
	isFailed := func(err error) bool { return apierrors.IsInternalError(err) }
	isCut := func(err error) bool { return err != nil && !errors.As(err, new(apierrors.APIStatus)) }
	isFine := func(err error) bool { return err == nil }
	for name, test := range map[string]struct {
		plan    Plan
		do      func(context.Context, kubernetes.Interface) error
		isSo    func(error) bool
		done    int // by the API server
		count   int
		givesUp bool // once the fault is done
	}{
		"without a plan it passes on":           {Plan{}, get, isFine, 1, 0, false},
		"a 500 is not passed on":                {always(Failed), get, isFailed, 0, 1, false},
		"a reset connection is not passed on":   {always(Reset), bind, isCut, 0, 1, false},
		"what hangs ends with the patience":     {always(Hung), bind, isCut, 0, 1, true},
		"a lost reply is to what was done":      {always(Lost), bind, isCut, 1, 1, false},
		"what reads does not lose its reply":    {always(Lost), get, isFine, 1, 0, false},
		"who is not meant is let through":       {Plan{Shares: always(Failed).Shares, Only: IsBind}, get, isFine, 1, 0, false},
		"who is meant is not":                   {Plan{Shares: always(Failed).Shares, Only: IsBind}, bind, isFailed, 0, 1, false},
		"faults of watches are no other's":      {always(Cut, Expired, Late, Twice), get, isFine, 1, 0, false},
		"one who is to wait comes back in vain": {always(Throttled), get, isCut, 0, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			u, p, client := setUp(t, "application/json")
			p.Play(test.plan)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			reply := make(chan error, 1)
			go func() { reply <- test.do(ctx, client) }()
			if test.givesUp {
				require.Eventually(t, func() bool { return len(p.Counts()) > 0 }, patience, time.Millisecond)
				cancel()
			}
			err := <-reply
			require.True(t, test.isSo(err), "%v", err)
			require.Equal(t, test.done, int(u.requests.Load()))
			count := 0
			for _, n := range p.Counts() {
				count += n
			}
			require.Equal(t, test.count, count)
			if test.done > 0 {
				require.Equal(t, "Bearer token", u.token.Load())
			}
		})
	}
}

func TestWatches(t *testing.T) {
	for name, test := range map[string]struct {
		plan Plan
		want []watch.EventType // and then silence, or the end where isOver
		over bool
	}{
		"without a plan":       {want: []watch.EventType{watch.Added, watch.Added, watch.Added}},
		"told twice":           {plan: always(Twice), want: []watch.EventType{watch.Added, watch.Added, watch.Added, watch.Added, watch.Added, watch.Added}},
		"cut":                  {plan: always(Cut), want: []watch.EventType{watch.Error}, over: true}, // what client-go makes of it
		"expired":              {plan: always(Expired), want: []watch.EventType{watch.Error}, over: true},
		"late, and not yet":    {plan: Plan{Shares: always(Late).Shares, Delay: time.Hour}},
		"late, and in the end": {plan: Plan{Shares: always(Late).Shares, Delay: time.Millisecond}, want: []watch.EventType{watch.Added, watch.Added, watch.Added}},
	} {
		t.Run(name, func(t *testing.T) {
			_, p, client := setUp(t, "application/json")
			p.Play(test.plan)
			w, err := client.CoreV1().Pods("ns").Watch(t.Context(), metav1.ListOptions{})
			require.NoError(t, err)
			defer w.Stop()
			var got []watch.EventType
			isOver := false
			for !isOver {
				silence := patience
				if len(got) == len(test.want) && !test.over {
					silence = 50 * time.Millisecond
				}
				select {
				case e, isOpen := <-w.ResultChan():
					if isOver = !isOpen; isOpen {
						got = append(got, e.Type)
					}
					continue
				case <-time.After(silence):
				}
				break
			}
			require.Equal(t, test.want, got)
			require.Equal(t, test.over, isOver)
		})
	}
}

// TestLateEventsComeWhenThePlanEnds: what is held back is not lost.
func TestLateEventsComeWhenThePlanEnds(t *testing.T) {
	_, p, client := setUp(t, "application/json")
	p.Play(Plan{Shares: always(Late).Shares, Delay: time.Hour})
	w, err := client.CoreV1().Pods("ns").Watch(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	defer w.Stop()
	p.Play(Plan{})
	for range 3 {
		require.Equal(t, watch.Added, (<-w.ResultChan()).Type)
	}
}

func TestBindHooks(t *testing.T) {
	for name, test := range map[string]struct {
		stopAt []bool // answered or not
		done   int
		isFine bool
	}{
		"passed on":        {nil, 1, true},
		"never sent":       {[]bool{false}, 0, false},
		"answered unheard": {[]bool{true}, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			u, p, client := setUp(t, "application/json")
			p.OnBind(func(isAnswered bool) bool { return len(test.stopAt) == 0 || test.stopAt[0] != isAnswered })
			err := client.CoreV1().Pods("ns").Bind(t.Context(), &v1.Binding{ObjectMeta: metav1.ObjectMeta{Name: "p"}}, metav1.CreateOptions{})
			require.Equal(t, test.isFine, err == nil, "%v", err)
			require.Equal(t, test.done, int(u.requests.Load()))
		})
	}
}

// TestFrames: events of both encodings are told apart, and the one that the proxy makes is one.
func TestFrames(t *testing.T) {
	for _, contentType := range []framing{"application/json", "application/vnd.kubernetes.protobuf;stream=watch"} {
		expired := contentType.expired()
		in := bufio.NewReader(strings.NewReader(string(expired) + string(expired)))
		for range 2 {
			frame, err := contentType.next(in)
			require.NoError(t, err)
			require.Equal(t, expired, frame)
		}
		_, err := contentType.next(in)
		require.ErrorIs(t, err, io.EOF)
	}
}
