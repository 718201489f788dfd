// Package audit reads what the API server wrote down of the requests that it answered.
package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	auditv1 "k8s.io/apiserver/pkg/apis/audit/v1"
)

// maxLine is the longest event that is read, in bytes.
const maxLine = 1 << 22

// Read returns the events of an audit log in the order in which they were written: a request is there once it was answered, a
// watch once it began.
func Read(path string) ([]auditv1.Event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []auditv1.Event
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e auditv1.Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("audit log %s, after %d events: %w", path, len(events), err)
		}
		events = append(events, e)
	}
	return events, lines.Err()
}

// CredentialOf names the token or certificate that a request came with, which tells two processes of one account apart; "" if
// the API server did not say.
func CredentialOf(e auditv1.Event) string {
	if ids := e.User.Extra["authentication.kubernetes.io/credential-id"]; len(ids) > 0 {
		return ids[0]
	}
	return ""
}
