package proxy

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
)

// maxFrame is the longest event that is passed on, in bytes.
const maxFrame = 16 << 20

// watch passes a watch on, event by event.
func (p *Proxy) watch(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	out := r.Clone(ctx)
	out.URL.Scheme, out.URL.Host, out.Host, out.RequestURI = p.upstream.Scheme, p.upstream.Host, p.upstream.Host, ""
	reply, err := p.pass.Transport.RoundTrip(out)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer reply.Body.Close()
	maps.Copy(w.Header(), reply.Header)
	w.WriteHeader(reply.StatusCode)
	flush := w.(http.Flusher)
	flush.Flush()
	if reply.StatusCode != http.StatusOK {
		_, _ = io.Copy(w, reply.Body)
		return
	}
	f := framing(reply.Header.Get("Content-Type"))
	in := bufio.NewReader(reply.Body)
	for {
		frame, err := f.next(in)
		if err != nil {
			return
		}
		switch {
		case p.draw(Cut):
			panic(http.ErrAbortHandler)
		case p.draw(Expired):
			_, _ = w.Write(f.expired())
			return
		case p.draw(Late):
			p.mu.Lock()
			delay, calm := p.plan.Delay, p.calm
			p.mu.Unlock()
			select {
			case <-time.After(delay):
			case <-calm:
			case <-ctx.Done():
				return
			}
		case p.draw(Twice):
			_, _ = w.Write(frame)
		}
		if _, err := w.Write(frame); err != nil {
			return
		}
		flush.Flush()
	}
}

// framing is how the events of a watch are told apart: lines of JSON, or protobuf with a length before each.
type framing string

func (f framing) isProtobuf() bool { return strings.HasPrefix(string(f), runtime.ContentTypeProtobuf) }

// next reads an event, with what tells it apart from the next one.
func (f framing) next(in *bufio.Reader) ([]byte, error) {
	if !f.isProtobuf() {
		return in.ReadBytes('\n')
	}
	head, err := in.Peek(4)
	if err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(head)
	if length > maxFrame {
		return nil, io.ErrShortBuffer
	}
	frame := make([]byte, 4+length)
	_, err = io.ReadFull(in, frame)
	return frame, err
}

// expired is the event by which an API server says that it does not remember where the watch was to go on.
func (f framing) expired() []byte {
	status := &metav1.Status{
		Status: metav1.StatusFailure, Reason: metav1.StatusReasonExpired, Code: http.StatusGone, Message: "too old resource version: the proxy plays it",
	}
	mediaType := runtime.ContentTypeJSON
	if f.isProtobuf() {
		mediaType = runtime.ContentTypeProtobuf
	}
	info, _ := runtime.SerializerInfoForMediaType(scheme.Codecs.SupportedMediaTypes(), mediaType)
	object := runtime.EncodeOrDie(scheme.Codecs.EncoderForVersion(info.Serializer, v1.SchemeGroupVersion), status)
	event := []byte(runtime.EncodeOrDie(info.StreamSerializer.Serializer, &metav1.WatchEvent{Type: "ERROR", Object: runtime.RawExtension{Raw: []byte(object)}}))
	if !f.isProtobuf() {
		return event // its encoder ends the line
	}
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(event))), event...)
}
