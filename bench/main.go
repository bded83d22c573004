//go:build linux

// Command bench measures background saves: kvd's FORK, THREAD and COPY, pebble,
// and real Redis or Valkey servers beside them. Every contestant is a process of its
// own and all latencies are taken over TCP.
//
//	go run ./bench                       a small comparison, in under a minute
//	go run ./bench run -scale full …     the whole one; see -help
//	go run ./bench list                  the runs so far
//	go run ./bench report [RUN]          the table again, and the HTML report
//	go run ./bench compare A B           which differences are more than noise
//	go run ./bench export [RUN]          a run as JSON lines
//	go run ./bench import FILE           the other way
//	go run ./bench serve                 the reports on localhost
//
// This package reads the command line and puts the parts together: scenarios,
// contestants and trials measure; result is what they measure, as data; store keeps
// it, report and compare show it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"kvd/bench/internal/apart"
	"kvd/bench/internal/peer"
)

// commands are the subcommands in the order of the usage.
var commands = []struct {
	name, args, what string
	run              func(ctx context.Context, args []string) error
}{
	{"run", "[options]", "measure, print a table, write a report (the default)", runCommand},
	{"list", "", "the runs in the results", listCommand},
	{"report", "[options] [RUN]", "print the table of a run and write its HTML report", reportCommand},
	{"compare", "A[:contestant] B[:contestant]", "tell differences from noise", compareCommand},
	{"export", "[options] [RUN]", "write a run as JSON lines", exportCommand},
	{"import", "[options] FILE", "put an exported run into the results", importCommand},
	{"serve", "[options]", "serve the reports on localhost", serveCommand},
}

func main() { os.Exit(program(os.Args[1:])) }

func program(args []string) int {
	if len(args) > 0 {
		switch args[0] { // processes that the program starts of itself
		case "peer":
			return peer.Main(args[1:])
		case "apart-child":
			return apart.ChildMain(args[1:])
		}
	}
	name := "run"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	if name == "help" && len(args) > 0 {
		name, args = args[0], []string{"-help"}
	}
	if len(args) > 0 && slices.Contains([]string{"-h", "-help", "--help"}, args[0]) && name == "run" || name == "help" {
		usage(os.Stdout)
		if name == "help" {
			return 0
		}
	}
	ctx, stop := interruptible()
	defer stop()
	for _, c := range commands {
		if c.name == name {
			return status(c.run(ctx, args))
		}
	}
	fmt.Fprintf(os.Stderr, "bench: unknown command %q\n\n", name)
	usage(os.Stderr)
	return 2
}

// status turns an error into an exit status, and says it.
func status(err error) int {
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errInterrupted), errors.Is(err, errTooEarly):
		fmt.Fprintln(os.Stderr, "bench:", err)
		return 130
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

func usage(w *os.File) {
	fmt.Fprintln(w, "usage: bench [command]")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-8s %-30s %s\n", c.name, c.args, c.what)
	}
	fmt.Fprintln(w, "RUN is an id or the beginning of one, last, or last~1; bench COMMAND -help lists the options")
}

// defaultResults is where runs are kept; git ignores it.
const defaultResults = "bench-results"

func flags(name, args string) (fs *flag.FlagSet, results *string) {
	fs = flag.NewFlagSet("bench "+name, flag.ContinueOnError)
	fs.Usage = func() {
		fmt.Fprintf(fs.Output(), "usage: bench %s %s\n", name, args)
		fs.PrintDefaults()
	}
	return fs, fs.String("results", defaultResults, "directory of the results")
}
