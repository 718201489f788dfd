package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	certutil "k8s.io/client-go/util/cert"
)

const (
	// headerLimit and requestLimit are how long others may take.
	headerLimit  = 10 * time.Second
	requestLimit = 30 * time.Second
	// goodbye is how long requests under way get to end.
	goodbye = 2 * time.Second
)

// Health is whether the loop turns, and with what success. The zero value has not turned yet.
type Health struct {
	// Limit is how long the loop may stand still.
	Limit time.Duration

	mu     sync.Mutex
	turned time.Time
	err    error
}

// Turn notes that a round was made, with this success.
func (h *Health) Turn(err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.turned, h.err = time.Now(), err
}

var errNotYet = errors.New("the GPUs have not been read yet")

// alive is an error if the loop stands still.
func (h *Health) alive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if since := time.Since(h.turned); !h.turned.IsZero() && since > h.Limit {
		return fmt.Errorf("the GPUs were read %v ago for the last time", since.Round(time.Second))
	}
	return nil
}

// ready is an error if the last round failed.
func (h *Health) ready() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.turned.IsZero() {
		return errNotYet
	}
	return h.err
}

// Handler serves health and metrics, these to whom the reviewer says.
func Handler(metrics *Metrics, health *Health, reviewer Reviewer) http.Handler {
	mux := http.NewServeMux()
	for path, check := range map[string]func() error{"/livez": health.alive, "/readyz": health.ready} {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, _ *http.Request) {
			if err := check(); err != nil {
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			_, _ = w.Write([]byte("ok\n"))
		})
	}
	mux.Handle("GET /metrics", newGate(reviewer).guard(promhttp.HandlerFor(metrics.registry, promhttp.HandlerOpts{})))
	return mux
}

// Certificate is that of a file and its key, read for each caller, so that it may be renewed under us. Without files it is one
// that nobody signed, made now.
func Certificate(certFile, keyFile, host string) (func(*tls.ClientHelloInfo) (*tls.Certificate, error), error) {
	if certFile != "" || keyFile != "" {
		read := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			certificate, err := tls.LoadX509KeyPair(certFile, keyFile)
			return &certificate, err
		}
		_, err := read(nil)
		return read, err
	}
	certPEM, keyPEM, err := certutil.GenerateSelfSignedCertKey(host, []net.IP{net.IPv4(127, 0, 0, 1)}, nil)
	if err != nil {
		return nil, err
	}
	certificate, err := tls.X509KeyPair(certPEM, keyPEM)
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &certificate, nil }, err
}

// Run serves on a listener until the context is done.
func Run(ctx context.Context, listener net.Listener, handler http.Handler, certificate func(*tls.ClientHelloInfo) (*tls.Certificate, error), log *slog.Logger) error {
	server := &http.Server{
		Handler: handler, ReadHeaderTimeout: headerLimit, ReadTimeout: requestLimit, WriteTimeout: requestLimit, IdleTimeout: 2 * requestLimit,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of strangers who do not speak TLS
		TLSConfig: &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate},
	}
	stop := context.AfterFunc(ctx, func() {
		limited, cancel := context.WithTimeout(context.WithoutCancel(ctx), goodbye)
		defer cancel()
		_ = server.Shutdown(limited) // who is not done by then is cut off
	})
	defer stop()
	err := server.ServeTLS(listener, "", "")
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
