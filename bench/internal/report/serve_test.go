package report

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
	"kvd/bench/internal/store"
)

type fakeSource map[string]*result.Run

func (f fakeSource) List() ([]store.Summary, error) {
	var out []store.Summary
	for id, r := range f {
		out = append(out, store.Summary{ID: id, Started: r.Started, Label: r.Label, Scenarios: r.Config.Scenarios, Trials: len(r.Trials)})
	}
	return append(out, store.Summary{ID: "20260101T000000Z-0000", Damaged: "a <part> is missing"}), nil
}

func (f fakeSource) Get(id string) (*result.Run, error) {
	if r := f[id]; r != nil {
		return r, nil
	}
	return nil, errors.New("no run " + id)
}

func get(h http.Handler, host, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.Host = host
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestHandler(t *testing.T) {
	run := makeRun([]string{"thread"}, 1, &maker{})
	h := Handler(fakeSource{run.ID: run})
	list := get(h, "localhost:8380", "/")
	if b := list.Body.String(); list.Code != 200 || !strings.Contains(b, `href="/run/`+run.ID+`"`) || !strings.Contains(b, "a &lt;part&gt; is missing") || strings.Contains(b, `href="/run/20260101`) {
		t.Errorf("list: %d %s", list.Code, b)
	}
	page := get(h, "127.0.0.1:8380", "/run/"+run.ID)
	if page.Code != 200 || !strings.HasPrefix(page.Header().Get("Content-Type"), "text/html") || !strings.Contains(page.Body.String(), "Scenario A") {
		t.Errorf("page: %d %s", page.Code, clip(page.Body.String(), 200))
	}
	if csp := page.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") {
		t.Errorf("content security policy %q", csp)
	}
	raw := get(h, "[::1]:8380", "/run/"+run.ID+".json")
	var back result.Run
	if err := json.Unmarshal(raw.Body.Bytes(), &back); err != nil || len(back.Trials) != len(run.Trials) {
		t.Errorf("raw data: %v, %d trials", err, len(back.Trials))
	}
	for _, c := range []struct {
		host, path string
		code       int
	}{
		{"localhost", "/run/other", 404}, {"localhost", "/etc", 404}, {"localhost", "/run/", 404},
		{"evil.example", "/", 403}, {"evil.example:8380", "/run/" + run.ID, 403}, {"10.0.0.1", "/", 403}, {"localhost.evil.example", "/", 403}, {"", "/", 403},
	} {
		if w := get(h, c.host, c.path); w.Code != c.code {
			t.Errorf("%s%s: %d, not %d", c.host, c.path, w.Code, c.code)
		}
	}
}

// TestServe serves a store with a run in it until the context ends.
func TestServe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "results")
	s, err := store.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	run := makeRun([]string{"thread"}, 1, &maker{})
	if err := errors.Join(s.Put(run), s.Close()); err != nil {
		t.Fatal(err)
	}
	// Another process may take the port that was free.
	noise.Attempts(t, 5, func(t *noise.T) { serveOnce(t, dir, run.ID) })
}

func serveOnce(t *noise.T, dir, id string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	_ = l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- Serve(ctx, addr, dir) }()
	body, ended := "", false
	noise.Wait(t, "the page", func() bool {
		select {
		case err := <-done:
			t.Error(err)
			ended = true
			return true
		default:
		}
		r, err := http.Get("http://" + addr + "/run/" + id)
		if err != nil {
			return false
		}
		b, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		body = string(b)
		return true
	})
	if ended {
		cancel()
		return
	}
	if !strings.Contains(body, "Scenario G") {
		t.Errorf("served: %s", clip(body, 300))
	}
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(noise.Patience):
		t.Error("Serve did not end")
	}
}

func TestServeRefusesOtherMachines(t *testing.T) {
	for _, addr := range []string{":8380", "0.0.0.0:8380", "192.168.1.2:80", "example.org:80", "localhost"} {
		if err := Serve(t.Context(), addr, t.TempDir()); err == nil {
			t.Errorf("%s was served", addr)
		}
	}
}
