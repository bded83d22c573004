//go:build linux

// Command kvd is an in-memory key-value server that speaks the Redis protocol.
//
//	kvd [file] [--directive value …]
//
// This package reads the configuration, opens the store, connects it with the
// server and the saver, and ends them again. It holds no logic of its own
// beyond the life of the process.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"kvd/kv"
	"kvd/kv/command"
	"kvd/kv/config"
	"kvd/kv/server"
)

func main() {
	if text, ok := infoOption(os.Args[1:]); ok {
		fmt.Print(text)
		return
	}
	if tool, ok := rdbOption(os.Args[1:]); ok {
		os.Exit(tool(os.Stdout, os.Stderr))
	}
	os.Exit(run(os.Args[1:]))
}

// run is the life of the server; it returns the exit status.
func run(argv []string) int {
	home, err := os.Getwd()
	if err != nil {
		home = "/"
	}
	cfg, stdin, err := configure(argv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	out := newRedisLog(logOptions{
		File: cfg.String("logfile"), Level: cfg.String("loglevel"),
		Syslog: cfg.Bool("syslog-enabled"), Ident: cfg.String("syslog-ident"), Facility: cfg.String("syslog-facility"),
	})
	defer out.Close()
	log := out.Logger()
	background := isDaemonChild()
	sup := newSupervisor(cfg.String("supervised"), log)
	if cfg.Bool("daemonize") && !sup.active() && !background {
		// The other process reads the same arguments, whose paths are relative to where this one was started.
		err := os.Chdir(home)
		if err == nil {
			err = daemonize(stdin)
		}
		if err != nil {
			log.Warn("Can't go to the background: " + err.Error())
			return 1
		}
		return 0
	}
	out.SetCrashLog(cfg.Bool("crash-log-enabled"))
	p := &program{cfg: cfg, log: log, out: out, sup: sup, background: background}
	if err := p.start(argv); err != nil {
		log.Warn(err.Error())
		return 1
	}
	return p.wait()
}

// configure reads the configuration and changes into its working directory,
// which relative paths of other directives are relative to.
func configure(argv []string) (cfg *config.Config, stdin []byte, err error) {
	cfg = config.New()
	path, options := config.ParseCommandLine(argv)
	var read bytes.Buffer // what Load took from standard input, for the process that goes to the background
	if err := cfg.Load(path, io.TeeReader(os.Stdin, &read), options); err != nil {
		return nil, nil, err
	}
	if err := os.Chdir(cfg.String("dir")); err != nil {
		return nil, nil, fmt.Errorf("can't change into the directory of 'dir': %w", err)
	}
	if err := syscall.Access(".", 2 /* W_OK */); err != nil {
		return nil, nil, fmt.Errorf("can't write into %s, the directory of 'dir': %w", cfg.String("dir"), err)
	}
	return cfg, read.Bytes(), nil
}

// program is the running server.
type program struct {
	cfg        *config.Config
	log        *slog.Logger
	out        *redisLog
	sup        *supervisor
	background bool

	store  *kv.Store
	engine *command.Engine
	server *server.Server
	saver  *saver
	pid    pidFile

	ending sync.Mutex // held by the one shutdown that runs
	served chan error
}

func (p *program) start(argv []string) error {
	p.log.Warn("oO0OoO0OoO0Oo kvd is starting oO0OoO0OoO0Oo")
	p.log.Warn(fmt.Sprintf("kvd version=%s, bits=64, pid=%d, just started", Version, os.Getpid()))
	if len(argv) == 0 {
		p.log.Warn("Warning: no config file specified, using the default config. In order to specify a config file use kvd /path/to/redis.conf")
	} else {
		p.log.Warn("Configuration loaded")
	}
	p.notices()
	var err error
	if p.store, err = kv.Open(kv.Options{Databases: int(p.cfg.Int("databases"))}); err != nil {
		return err
	}
	p.store.SetRecollapseRate(p.cfg.Int("fork-recollapse-rate"))
	p.engine = command.NewEngine(p.store, p.cfg, p.log)
	p.saver = newSaver(p.engine, p.cfg, p.log)
	p.engine.Version = Version
	p.engine.Saver, p.engine.Snapshots = p.saver, snapshots{p.saver.Manager}
	p.engine.Shutdown = p.shutdown
	p.server = server.New(p.engine, p.cfg, p.log)
	p.engine.Clients = p.server
	// More Ps than loops and cores: a saver that computes must not take a P
	// away from a loop that returns from a system call.
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(runtime.NumCPU() + p.server.Loops() + 1)
	}
	p.applyOOMScore()
	p.onChange()
	p.signals()

	p.engine.SetLoading(true)
	if err := p.server.Listen(); err != nil {
		return err
	}
	if path := p.cfg.String("pidfile"); path != "" || p.background {
		if path == "" {
			path = defaultPidFile
		}
		if p.pid, err = writePidFile(path); err != nil {
			p.log.Warn(err.Error())
		}
	}
	p.out.SetRole(roleMaster)
	p.log.Warn("Server initialized")
	p.hugePages()
	p.served = make(chan error, 1)
	go func() { p.served <- p.server.Serve() }()
	if err := p.saver.Load(context.Background()); err != nil {
		p.pid.remove()
		return errors.New("Fatal error loading the DB: " + err.Error() + ". Exiting.")
	}
	p.engine.SetLoading(false) // not by a load that failed
	p.saver.OnLoading(p.engine.SetLoading)
	p.saver.Run()
	for _, addr := range p.server.Addrs() {
		p.log.Info("Listening on " + addr)
	}
	p.log.Info("Ready to accept connections")
	p.sup.status("Ready to accept connections\n")
	p.sup.ready()
	return nil
}

// wait returns the exit status when the loops have ended. A shutdown ends the
// process itself.
func (p *program) wait() int {
	if err := <-p.served; err != nil {
		p.log.Warn("The server ended: " + err.Error())
		return 1
	}
	p.ending.Lock() // a shutdown that has closed the server is about to exit
	return 0
}

// notices logs what the configuration has to say about directives without
// effect.
func (p *program) notices() {
	for _, line := range p.cfg.Notices() {
		p.log.Info(line)
	}
}

// hugePages says once what the system does not give.
func (p *program) hugePages() {
	why := p.store.RecollapseOff()
	switch {
	case !p.store.Memory().Huge:
		p.log.Warn("WARNING: transparent huge pages are not available: " + why +
			". BGSAVE FORK works, but creating its child takes about 20 times as long.")
	case why != "":
		p.log.Warn("WARNING: huge pages that were split by writes during a BGSAVE FORK stay split, and creating the next child takes longer: " + why + ".")
	}
}

// onChange makes CONFIG SET take effect on what belongs to the process.
func (p *program) onChange() {
	p.cfg.OnChange("loglevel", func() error { p.out.SetLevel(p.cfg.String("loglevel")); return nil })
	p.cfg.OnChange("crash-log-enabled", func() error { p.out.SetCrashLog(p.cfg.Bool("crash-log-enabled")); return nil })
	p.cfg.OnChange("fork-recollapse-rate", func() error {
		p.store.SetRecollapseRate(p.cfg.Int("fork-recollapse-rate"))
		return nil
	})
	p.cfg.OnChange("dir", func() error { return os.Chdir(p.cfg.String("dir")) })
	for _, name := range []string{"oom-score-adj", "oom-score-adj-values"} {
		p.cfg.OnChange(name, func() error { p.applyOOMScore(); return nil })
	}
}

// applyOOMScore sets the kernel's preference for killing this process, which
// has the role of a master.
func (p *program) applyOOMScore() {
	const path = "/proc/self/oom_score_adj"
	mode := p.cfg.String("oom-score-adj")
	if mode == "no" {
		return
	}
	score := p.cfg.OOMScoreAdjValues()[0]
	if mode == "relative" || mode == "yes" {
		score += initialOOMScore()
	}
	score = min(max(score, -1000), 1000)
	if err := os.WriteFile(path, []byte(strconv.FormatInt(score, 10)), 0); err != nil {
		p.log.Warn("Unable to write " + path + ": " + err.Error())
	}
}

// initialOOMScore is what the process was started with.
var initialOOMScore = sync.OnceValue(func() int64 {
	text, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return 0
	}
	n, _ := strconv.ParseInt(oneLine(string(text)), 10, 64)
	return n
})

// signals makes SIGINT and SIGTERM shut down as the configuration says; a
// second one while the first is at work exits at once.
func (p *program) signals() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGINT, syscall.SIGTERM)
	signal.Ignore(syscall.SIGHUP, syscall.SIGPIPE)
	go func() {
		var busy atomic.Bool
		for sig := range c {
			name, directive := "SIGTERM", "shutdown-on-sigterm"
			if sig == syscall.SIGINT {
				name, directive = "SIGINT", "shutdown-on-sigint"
			}
			if busy.Load() && sig == syscall.SIGINT {
				p.log.Warn("You insist... exiting now.")
				p.pid.remove()
				os.Exit(1)
			}
			p.log.Warn("Received " + name + " scheduling shutdown...")
			busy.Store(true)
			go func() {
				if err := p.shutdown(shutdownOptions(p.cfg.Int(directive))); err != nil {
					p.log.Warn(name + " received but errors trying to shut down the server, check the logs for more information")
				}
				busy.Store(false)
			}()
		}
	}()
}

// shutdownOptions reads the bits of shutdown-on-sigterm and shutdown-on-sigint.
func shutdownOptions(bits int64) command.ShutdownOptions {
	return command.ShutdownOptions{Save: bits&1 != 0, NoSave: bits&2 != 0, Now: bits&4 != 0, Force: bits&8 != 0}
}

// shutdown saves if there are save points (or as o says), closes what is open
// and ends the process. It returns only if it fails.
func (p *program) shutdown(o command.ShutdownOptions) error {
	if !p.ending.TryLock() {
		return errors.New("a shutdown is under way")
	}
	p.log.Warn("User requested shutdown...")
	p.sup.stopping()
	save := o.Save || !o.NoSave && len(p.cfg.SavePoints()) > 0
	if p.engine.IsLoading() {
		save = false // what is there so far must not replace the dump that it comes from
	}
	release := p.server.Hold()
	if err := p.saver.Stop(save, o.Now); err != nil {
		p.log.Warn("Error trying to save the DB, can't exit: " + err.Error())
		if !o.Force {
			release()
			p.ending.Unlock()
			return err
		}
	}
	p.pid.remove()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if err := p.server.Close(ctx); err != nil {
		p.log.Warn("Not every event loop has ended: " + err.Error())
	}
	p.log.Warn("kvd is now ready to exit, bye bye...")
	p.out.Close()
	os.Exit(0)
	return nil
}
