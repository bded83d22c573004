//go:build linux

// Package peer holds the servers that the benchmark program runs beside kvd and
// Redis, each as a process of its own:
//
//	pebble   a log-structured merge tree behind kvd's event loop
//	nothing  answers constants: what the load generator can do at most
//	pause    a canary: its saves stop every client for a stated time
//	leak     a canary: its saves take a stated amount of memory while they run
//
// All of them are served by kv/server and speak through kv/command's table, of
// which they keep the commands that concern connections and replace the rest; so
// whatever they differ by from kvd is behind the handler of a command.
//
//	Main ─► options ─► kind.make ─► contestant{rows, saves, INFO sections}
//	                                     │
//	        program: command.Engine + server.Server + saver
//
// It imports kv, kv/command, kv/config, kv/server, snapshot/rdb and pebble.
package peer

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"kvd/kv/command"
)

// contestant is what one kind of peer has of its own.
type contestant struct {
	rows     []*command.Spec
	saves    []saveKind // what BGSAVE takes; the first is the default; none: there is no BGSAVE
	sections []section  // of INFO, behind the common ones
	// attach, if set, is called before the first command runs.
	attach func(p *program)
	// close, if set, is called when no command runs any more.
	close func() error
}

// kind is a row of the table of peers.
type kind struct {
	name  string
	about string
	flags func(fs *flag.FlagSet, o *options)
	make  func(o *options, log *slog.Logger) (*contestant, error)
}

var kinds = []kind{
	{"pebble", "a log-structured merge tree", pebbleFlags, newPebble},
	{"nothing", "answers constants and holds no data", constantFlags, newNothing},
	{"pause", "a canary whose saves stop every client", pauseFlags, newPause},
	{"leak", "a canary whose saves take memory", leakFlags, newLeak},
}

// options are those of the command line. Sizes are bytes.
type options struct {
	port      int
	bind      string
	dir       string // where the data are
	saveDir   string // where saves go
	ioThreads int

	sync      bool
	cache     int64
	memtable  int64
	load      string
	valueSize int
	pauseMS   int
	saveMS    int
	leak      int64
}

// Main runs a peer until SIGTERM, SIGINT or SHUTDOWN and returns the exit status:
// 0 after an orderly end, 1 after a failure, 2 if args are wrong. args are the
// kind and its options; what goes wrong is said on standard error, where the log
// goes, too.
func Main(args []string) int {
	k, o, err := parse(args, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		fmt.Fprintln(os.Stderr, "bench peer:", err)
		return 2
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	if err := run(k, o, log); err != nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

// parse reads the command line; help goes to usage.
func parse(args []string, usage io.Writer) (*kind, *options, error) {
	var names []string
	for i := range kinds {
		k := &kinds[i]
		names = append(names, k.name)
		if len(args) == 0 || args[0] != k.name {
			continue
		}
		o, err := k.parse(args[1:], usage)
		return k, o, err
	}
	if len(args) == 0 {
		return nil, nil, fmt.Errorf("which? There are %s", strings.Join(names, ", "))
	}
	return nil, nil, fmt.Errorf("there is no peer %q, only %s", args[0], strings.Join(names, ", "))
}

func (k *kind) parse(args []string, usage io.Writer) (*options, error) {
	o := &options{}
	fs := flag.NewFlagSet("bench peer "+k.name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // the caller prints the error
	fs.IntVar(&o.port, "port", 0, "TCP `port`; 0: any that is free, see the log")
	fs.StringVar(&o.bind, "bind", "127.0.0.1", "`address` to listen on")
	fs.StringVar(&o.dir, "dir", "", "`directory` of the data")
	fs.StringVar(&o.saveDir, "save-dir", "", "`directory` of the saves (that of the data)")
	fs.IntVar(&o.ioThreads, "io-threads", 0, "event loops (0: half the cores)")
	k.flags(fs, o)
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprintf(usage, "bench peer %s: %s\n", k.name, k.about)
			fs.SetOutput(usage)
			fs.PrintDefaults()
		}
		return nil, err
	}
	if fs.NArg() > 0 {
		return nil, fmt.Errorf("%q is no option", fs.Arg(0))
	}
	if o.saveDir == "" {
		o.saveDir = o.dir
	}
	return o, nil
}

// mebibytes is a flag in MiB whose value is bytes.
type mebibytes struct {
	to  *int64
	min int64 // MiB
}

func (m mebibytes) String() string {
	if m.to == nil {
		return ""
	}
	return fmt.Sprint(*m.to >> 20)
}

func (m mebibytes) Set(s string) error {
	var n int64
	if _, err := fmt.Sscanf(s+"\n", "%d\n", &n); err != nil || n < m.min || n > 1<<20 {
		return fmt.Errorf("a number of MiB from %d to %d", m.min, 1<<20)
	}
	*m.to = n << 20
	return nil
}

// yesNo is a flag with the values of Redis' directives.
type yesNo struct{ to *bool }

func (y yesNo) String() string {
	if y.to != nil && *y.to {
		return "yes"
	}
	return "no"
}

func (y yesNo) Set(s string) error {
	if s != "yes" && s != "no" {
		return errors.New("yes or no")
	}
	*y.to = s == "yes"
	return nil
}
