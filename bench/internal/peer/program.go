//go:build linux

package peer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
	"kvd/kv/server"
)

// kept are the commands that every peer has as kvd has them: those that concern
// connections, the configuration and the process.
var kept = []string{
	"auth", "client", "command", "config", "echo", "hello", "lastsave", "ping", "quit", "reset", "select", "shutdown", "time",
}

// program is a running peer.
type program struct {
	cfg    *config.Config
	log    *slog.Logger
	engine *command.Engine
	server *server.Server
	saver  *saver
	own    *contestant
	start  time.Time

	stop   chan string // why, from signals and SHUTDOWN
	served chan error
}

// run is the life of a peer.
func run(k *kind, o *options, log *slog.Logger) (err error) {
	if o.port == 0 {
		if o.port, err = freePort(o.bind); err != nil {
			return err
		}
	}
	cfg, err := configure(o)
	if err != nil {
		return err
	}
	own, err := k.make(o, log)
	if err != nil {
		return err
	}
	// The engine wants a store; the peers' data are elsewhere.
	empty, err := kv.Open(kv.Options{Databases: 1})
	if err != nil {
		return err
	}
	defer empty.Close()
	p := newProgram(cfg, own, empty, log)
	if err := p.server.Listen(); err != nil {
		return errors.Join(err, p.closeOwn())
	}
	p.signals()
	go func() { p.served <- p.server.Serve() }()
	log.Info("Ready to accept connections", "peer", k.name, "address", p.server.Addrs()[0], "pid", os.Getpid(), "dir", o.dir)
	return p.wait()
}

// configure returns the configuration of the server that is around the peer.
func configure(o *options) (*config.Config, error) {
	args := []string{
		"--port", strconv.Itoa(o.port), "--bind", o.bind, "--databases", "1", "--save", "", "--enable-protected-configs", "local",
		"--appendfsync", map[bool]string{true: "always", false: "no"}[o.sync],
	}
	if o.ioThreads > 0 {
		args = append(args, "--io-threads", strconv.Itoa(o.ioThreads))
	}
	if o.saveDir != "" {
		dir, err := filepath.Abs(o.saveDir)
		if err != nil {
			return nil, err
		}
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, err
		}
		args = append(args, "--dir", dir)
	}
	cfg := config.New()
	if err := cfg.Load("", nil, args); err != nil {
		return nil, err
	}
	cfg.Notices() // of directives that mean nothing to kvd but something here
	return cfg, nil
}

// newProgram makes the engine and the server around a contestant.
func newProgram(cfg *config.Config, own *contestant, empty *kv.Store, log *slog.Logger) *program {
	p := &program{cfg: cfg, log: log, own: own, start: time.Now(), stop: make(chan string, 8), served: make(chan error, 1)}
	p.saver = newSaver(p.own.saves, p.log)
	rows := append([]*command.Spec{p.infoRow()}, p.own.rows...)
	if len(p.own.saves) > 0 {
		rows = append(rows, p.saver.bgsaveRow())
	}
	p.engine = command.NewEngine(empty, p.cfg, p.log, command.Commands(kept, rows...))
	p.engine.Saver = p.saver
	p.engine.Shutdown = func(command.ShutdownOptions) error {
		// The loop that runs SHUTDOWN goes on until the main goroutine closes the server.
		p.request("SHUTDOWN")
		return nil
	}
	p.server = server.New(p.engine, p.cfg, p.log)
	p.engine.Clients = p.server
	// As kvd does: a goroutine that computes must not take a P away from a loop.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + p.server.Loops() + 1)
	}
	if p.own.attach != nil {
		p.own.attach(p)
	}
	return p
}

func (p *program) request(why string) {
	select {
	case p.stop <- why:
	default: // it is being stopped
	}
}

func (p *program) signals() {
	c := make(chan os.Signal, 2)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		for sig := range c {
			p.request(sig.String())
		}
	}()
}

// closeLimit is how long the event loops may take to end.
const closeLimit = 5 * time.Second

// wait ends the peer when it is told to.
func (p *program) wait() error {
	select {
	case err := <-p.served:
		return errors.Join(fmt.Errorf("the server ended: %v", err), p.closeOwn())
	case why := <-p.stop:
		p.log.Info("Shutting down", "because", why)
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
	defer cancel()
	if err := p.server.Close(ctx); err != nil {
		// A command still uses the data: they are left as a crash would leave them.
		return fmt.Errorf("an event loop has not ended: %w", err)
	}
	<-p.served
	_ = p.saver.Cancel() // there may be none
	err := p.closeOwn()
	p.log.Info("Ready to exit")
	return err
}

func (p *program) closeOwn() error {
	if p.own.close == nil {
		return nil
	}
	return p.own.close()
}

// freePort returns a port that nothing listens on, for now.
func freePort(bind string) (int, error) {
	ln, err := net.Listen("tcp", net.JoinHostPort(bind, "0"))
	if err != nil {
		return 0, err
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port, nil
}
