package serve

import (
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	authentication "k8s.io/api/authentication/v1"
	authorization "k8s.io/api/authorization/v1"
)

const (
	answerLife  = 10 * time.Second
	maxAnswers  = 256
	maxReviews  = 4
	reviewLimit = 10 * time.Second
	// longestToken is far beyond those of the API server.
	longestToken = 16 << 10
)

// Reviewer asks the API server who somebody is, and what they may.
type Reviewer interface {
	ReviewToken(context.Context, *authentication.TokenReview) (*authentication.TokenReview, error)
	ReviewAccess(context.Context, *authorization.SubjectAccessReview) (*authorization.SubjectAccessReview, error)
}

// gate lets those through whom the API server knows and allows.
type gate struct {
	Reviewer
	reviews chan struct{} // a place for each review under way

	mu      sync.Mutex
	answers map[question]answer
}

// question is who wants what: a token, of which only the sum is kept, and a path.
type question struct {
	token [sha256.Size]byte
	path  string
}

type answer struct {
	status int
	until  time.Time
}

func newGate(reviewer Reviewer) *gate {
	return &gate{Reviewer: reviewer, reviews: make(chan struct{}, maxReviews), answers: map[question]answer{}}
}

// guard puts the gate before a handler.
func (g *gate) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if status := g.check(r); status != http.StatusOK {
			http.Error(w, http.StatusText(status), status)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// check returns the status that a request deserves.
func (g *gate) check(r *http.Request) int {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	token = strings.TrimSpace(token)
	if !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > longestToken {
		return http.StatusUnauthorized
	}
	q := question{sha256.Sum256([]byte(token)), r.URL.Path}
	if status, ok := g.recall(q); ok {
		return status
	}
	ctx, cancel := context.WithTimeout(r.Context(), reviewLimit)
	defer cancel()
	select {
	case g.reviews <- struct{}{}:
		defer func() { <-g.reviews }()
	case <-ctx.Done():
		return http.StatusServiceUnavailable
	}
	status, err := g.review(ctx, token, q.path)
	if err != nil {
		return http.StatusServiceUnavailable
	}
	g.remember(q, status)
	return status
}

// review asks the API server who the token is of, and whether that may get the path.
func (g *gate) review(ctx context.Context, token, path string) (int, error) {
	who, err := g.ReviewToken(ctx, &authentication.TokenReview{Spec: authentication.TokenReviewSpec{Token: token}})
	switch {
	case err != nil:
		return 0, err
	case !who.Status.Authenticated:
		return http.StatusUnauthorized, nil
	}
	user := who.Status.User
	extra := map[string]authorization.ExtraValue{}
	for key, values := range user.Extra {
		extra[key] = authorization.ExtraValue(values)
	}
	may, err := g.ReviewAccess(ctx, &authorization.SubjectAccessReview{
		Spec: authorization.SubjectAccessReviewSpec{
			User: user.Username, UID: user.UID, Groups: user.Groups, Extra: extra,
			NonResourceAttributes: &authorization.NonResourceAttributes{Path: path, Verb: "get"},
		},
	})
	switch {
	case err != nil:
		return 0, err
	case !may.Status.Allowed || may.Status.Denied:
		return http.StatusForbidden, nil
	}
	return http.StatusOK, nil
}

func (g *gate) recall(q question) (status int, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	a, ok := g.answers[q]
	return a.status, ok && time.Now().Before(a.until)
}

// remember keeps an answer. Where strangers fill the memory, all are forgotten.
func (g *gate) remember(q question, status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	if len(g.answers) >= maxAnswers {
		maps.DeleteFunc(g.answers, func(_ question, a answer) bool { return !now.Before(a.until) })
	}
	if len(g.answers) >= maxAnswers {
		clear(g.answers)
	}
	g.answers[q] = answer{status, now.Add(answerLife)}
}
