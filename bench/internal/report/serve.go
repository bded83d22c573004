package report

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"kvd/bench/internal/result"
	"kvd/bench/internal/store"
)

// Source is where the served runs come from; *store.Store is one. Its methods
// are called from several goroutines.
type Source interface {
	List() ([]store.Summary, error)
	Get(id string) (*result.Run, error)
}

//go:embed list.html
var listText string

var listTemplate = template.Must(template.New("list").Parse(listText))

// Handler serves the list of runs (/), their reports (/run/ID) and their raw
// data (/run/ID.json). It answers only requests that name this machine as host,
// so that no page from elsewhere can read it through a name of its own.
func Handler(src Source) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { serveList(w, src) })
	mux.HandleFunc("GET /run/{id}", func(w http.ResponseWriter, r *http.Request) { serveRun(w, src, r.PathValue("id")) })
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !ownHost(r.Host) {
			http.Error(w, "this server answers to localhost only", http.StatusForbidden)
			return
		}
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		mux.ServeHTTP(w, r)
	})
}

// ownHost reports whether a host, with or without a port, is this machine.
func ownHost(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

func serveList(w http.ResponseWriter, src Source) {
	runs, err := src.List()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	type line struct {
		store.Summary
		When, Scenarios, Contestants string
	}
	data := struct {
		Style template.CSS
		Runs  []line
	}{Style: template.CSS(":root{" + cssColors(Light) + "}\n@media (prefers-color-scheme:dark){:root{" + cssColors(Dark) + "}}\n" + styleText)}
	for _, r := range runs {
		l := line{Summary: r, Scenarios: strings.Join(r.Scenarios, " "), Contestants: strings.Join(r.Contestants, ", ")}
		if !r.Started.IsZero() {
			l.When = r.Started.UTC().Format("2006-01-02 15:04 UTC")
		}
		data.Runs = append(data.Runs, l)
	}
	var buf bytes.Buffer
	if err := listTemplate.Execute(&buf, data); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sendHTML(w, buf.Bytes())
}

func serveRun(w http.ResponseWriter, src Source, id string) {
	id, raw := strings.CutSuffix(id, ".json")
	run, err := src.Get(id)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	var buf bytes.Buffer
	if raw {
		if err := json.NewEncoder(&buf).Encode(run); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(buf.Bytes()) // the reader may have gone
		return
	}
	if err := HTML(&buf, run); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	sendHTML(w, buf.Bytes())
}

func sendHTML(w http.ResponseWriter, page []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(page) // the reader may have gone
}

// opened reads the results of a directory anew for each request, so that runs
// that end meanwhile appear and nothing stays locked.
type opened string

func (dir opened) List() ([]store.Summary, error) {
	s, err := store.OpenReadOnly(string(dir))
	if err != nil {
		return nil, err
	}
	list, err := s.List()
	return list, errors.Join(err, s.Close())
}

func (dir opened) Get(id string) (*result.Run, error) {
	s, err := store.OpenReadOnly(string(dir))
	if err != nil {
		return nil, err
	}
	run, err := s.Get(id)
	return run, errors.Join(err, s.Close())
}

// Serve shows the results in a directory on addr, which must name this machine
// (localhost:8380), until ctx ends; then it returns nil. It prints the address to
// open.
func Serve(ctx context.Context, addr, results string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	if !ownHost(host) {
		return fmt.Errorf("serve: %q is not this machine; use localhost:PORT", addr)
	}
	src := opened(results)
	if _, err := src.List(); err != nil {
		return err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	fmt.Fprintf(os.Stderr, "serving %s on http://%s/ (Ctrl-C ends it)\n", results, l.Addr())
	server := &http.Server{Handler: Handler(src), ReadHeaderTimeout: 10 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if server.Shutdown(end) != nil {
			_ = server.Close()
		}
	})
	defer stop()
	if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve: %w", err)
	}
	return nil
}
