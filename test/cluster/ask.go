package cluster

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
)

// Ask gets a path of an endpoint whose certificate was made at its start and is signed by nobody, over a connection of its own. Who
// has no token asks as nobody. The status is 0, and the body what went wrong, if there is no answer.
func Ask(ctx context.Context, address, path, token string) (status int, body string) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+path, nil)
	if err != nil {
		return 0, err.Error()
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}
