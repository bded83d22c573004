//go:build linux

// Package contest holds the contestants of a run: which server each is, how it is
// started and how it saves. A contestant is a row; kvd's ways of saving are
// three contestants with the same server.
package contest

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"kvd/bench/internal/scenario"
)

// Contestant is one way of serving and saving. Exactly one of Bin and Addr is set.
type Contestant struct {
	Name string
	Bin  string   // started for each trial
	Args []string // beside the port and the directory
	Peer bool     // Bin is this program: Args name what of it is to be started
	Addr string   // a server that runs already: host:port
	Save []string // the command that starts a background save
	Note string   // what the reader of a table must know of it
	// Relaxed and Strict are commands that come before and after the fill, nil
	// for none: no latency is taken there, so nobody need wait for the disk.
	Relaxed, Strict []string
	// Reload are further Args with which it starts on what it saved.
	Reload []string
	// Forgets: it holds no data, so its keys are not counted and it is not started
	// on what it saved.
	Forgets bool
}

// Programs are the files that the built-in contestants are started from.
type Programs struct {
	Kvd  string // the server; "" if it could not be had
	Self string // this program, which has the peers inside
}

// What pebble's figures stand for. To load a checkpoint is to open it: the data stay on the disk.
const (
	pebbleNote     = "write-ahead log on, %s, block cache 256 MB; the save is "
	checkpointNote = pebbleNote + "DB.Checkpoint, the load only opens its files"
	dumpNote       = pebbleNote + "an iterator of NewSnapshot written as RDB, the load reads that"
)

// builtin returns the contestants that need no other software.
func builtin(p Programs) []Contestant {
	kvd := func(name, save, note string) Contestant {
		return Contestant{Name: name, Bin: p.Kvd, Save: []string{"BGSAVE", save}, Note: note}
	}
	peer := func(name string, args []string, note string, save ...string) Contestant {
		return Contestant{Name: name, Bin: p.Self, Peer: true, Args: append([]string{"peer"}, args...), Save: save, Note: note}
	}
	synced := peer("pebble-sync", []string{"pebble", "--sync=yes"}, fmt.Sprintf(checkpointNote, "Sync"), "BGSAVE", "CHECKPOINT")
	synced.Relaxed, synced.Strict = []string{"CONFIG", "SET", "appendfsync", "no"}, []string{"CONFIG", "SET", "appendfsync", "always"}
	synced.Reload = []string{"--load", "checkpoint"}
	unsynced := peer("pebble", []string{"pebble", "--sync=no"}, fmt.Sprintf(checkpointNote, "NoSync"), "BGSAVE", "CHECKPOINT")
	unsynced.Reload = synced.Reload
	dumped := peer("pebble-rdb", []string{"pebble", "--sync=no"}, fmt.Sprintf(dumpNote, "NoSync"), "BGSAVE", "RDB")
	dumped.Reload = []string{"--load", "rdb"}
	canary := func(name, kind, note string) Contestant {
		c := peer(name, []string{kind}, note, "BGSAVE")
		c.Forgets = true
		return c
	}
	return []Contestant{
		kvd("fork", "FORK", "kvd: a cloned child; the kernel copies what is written"),
		kvd("thread", "THREAD", "kvd: a snapshot thread; writers copy what they change"),
		kvd("copy", "COPY", "kvd: everything is copied under the locks"),
		unsynced, synced, dumped,
		canary("canary-pause", "pause", "stops everybody for 50 ms when it saves, on purpose"),
		canary("canary-leak", "leak", "takes 100 MB more while it saves, on purpose"),
	}
}

// Default are the contestants of a run that names none.
var Default = []string{"fork", "thread", "copy", "pebble"}

// Nothing is the server that the generator's ceiling is measured against.
func Nothing(p Programs) Contestant {
	return Contestant{Name: "nothing", Bin: p.Self, Peer: true, Args: []string{"peer", "nothing"}}
}

// Find returns the built-in contestants of a comma-separated list, in that order.
func Find(p Programs, list string) ([]Contestant, error) {
	all := builtin(p)
	var out []Contestant
	for name := range strings.SplitSeq(list, ",") {
		name = strings.ToLower(strings.TrimSpace(name))
		if name == "" {
			continue
		}
		i := slices.IndexFunc(all, func(c Contestant) bool { return c.Name == name })
		if i < 0 {
			return nil, fmt.Errorf("unknown contestant %q; there are %s (redis-server and others: --start name=/path)",
				name, strings.Join(Names(), ", "))
		}
		if !slices.ContainsFunc(out, func(c Contestant) bool { return c.Name == name }) {
			out = append(out, all[i])
		}
	}
	return out, nil
}

// Names returns the names of the built-in contestants.
func Names() []string {
	var out []string
	for _, c := range builtin(Programs{}) {
		out = append(out, c.Name)
	}
	return out
}

// NeedsKvd tells whether the contestant is kvd's own server.
func (c Contestant) NeedsKvd() bool {
	return slices.ContainsFunc(builtin(Programs{Kvd: "kvd"}), func(b Contestant) bool { return b.Name == c.Name && b.Bin == "kvd" })
}

// ParseStart reads --start NAME=PATH [ARGUMENT …]: a server that the program is to
// start, with a plain BGSAVE. Arguments are separated by spaces.
func ParseStart(text string) (Contestant, error) {
	name, rest, ok := strings.Cut(text, "=")
	fields := strings.Fields(rest)
	if !ok || name == "" || len(fields) == 0 {
		return Contestant{}, fmt.Errorf("--start %q: NAME=/path/to/server [arguments] is wanted", text)
	}
	bin, err := exec.LookPath(fields[0])
	if err == nil {
		bin, err = filepath.Abs(bin)
	}
	if err != nil {
		return Contestant{}, fmt.Errorf("--start %s: %w", name, err)
	}
	c := Contestant{Name: name, Bin: bin, Args: fields[1:], Save: []string{"BGSAVE"}}
	c.Note = strings.Join(fields, " ")
	return c, nil
}

// ParseServer reads --server NAME=HOST:PORT: a server that runs already.
func ParseServer(text string) (Contestant, error) {
	name, addr, ok := strings.Cut(text, "=")
	if !ok || name == "" || !strings.Contains(addr, ":") {
		return Contestant{}, fmt.Errorf("--server %q: NAME=HOST:PORT is wanted", text)
	}
	return Contestant{Name: name, Addr: addr, Save: []string{"BGSAVE"}, Note: "at " + addr}, nil
}

// Cannot returns why the contestant does not take part in a scenario, or nil. Which
// commands it knows is asked of the server itself, when it runs.
func (c Contestant) Cannot(s scenario.Scenario) error {
	switch {
	case c.Addr != "" && s.SinkBytesPerSecond > 0:
		return errors.New("the disk of a server that was not started here cannot be slowed down")
	case c.Addr != "" && s.Reload && s.Quiet:
		return errors.New("a server that was not started here cannot be restarted")
	}
	return nil
}
