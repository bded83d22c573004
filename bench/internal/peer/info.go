//go:build linux

package peer

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"time"

	"kvd/kv/command"
)

// section is one of INFO.
type section struct {
	name  string // lower case, as an argument
	title string
	write func(w *fields)
}

// fields collects the lines of INFO.
type fields struct{ b strings.Builder }

func (w *fields) str(name, value string) {
	w.b.WriteString(name + ":" + strings.NewReplacer("\r", " ", "\n", " ").Replace(value) + "\r\n")
}

func (w *fields) num(name string, n int64) { w.str(name, strconv.FormatInt(n, 10)) }

func (w *fields) flag(name string, on bool) {
	if on {
		w.num(name, 1)
	} else {
		w.num(name, 0)
	}
}

// infoRow is INFO with the fields that a client or a measuring program looks for;
// what a peer does not have is not there.
func (p *program) infoRow() *command.Spec {
	row := command.Row("info")
	row.Lock = command.LockSelf
	row.Handler = p.info
	return row
}

func (p *program) info(x *command.Ctx) {
	want := map[string]bool{}
	for _, a := range x.Args[1:] {
		want[strings.ToLower(string(a))] = true
	}
	all := len(want) == 0 || want["all"] || want["everything"] || want["default"]
	w := &fields{}
	for _, s := range append(p.sections(), p.own.sections...) {
		if !all && !want[s.name] {
			continue
		}
		if w.b.Len() > 0 {
			w.b.WriteString("\r\n")
		}
		w.b.WriteString("# " + s.title + "\r\n")
		s.write(w)
	}
	x.Verbatim("txt", w.b.String())
}

// sections are those of all peers.
func (p *program) sections() []section {
	return []section{
		{"server", "Server", p.infoServer},
		{"clients", "Clients", func(w *fields) { w.num("connected_clients", int64(p.server.Count())) }},
		{"memory", "Memory", infoMemory},
		{"persistence", "Persistence", p.infoPersistence},
		{"stats", "Stats", func(w *fields) { w.num("latest_fork_usec", p.saver.Info().LatestForkUsec) }},
	}
}

func (p *program) infoServer(w *fields) {
	up := int64(time.Since(p.start).Seconds())
	w.str("redis_version", command.RedisVersion)
	w.str("redis_mode", "standalone")
	w.num("process_id", int64(os.Getpid()))
	w.str("run_id", p.engine.RunID())
	w.num("tcp_port", p.cfg.Int("port"))
	w.num("uptime_in_seconds", up)
	w.num("io_threads", int64(p.server.Loops()))
}

// infoMemory counts anonymous memory that is in the machine: block cache,
// memtables, the Go heap and what the runtime keeps for it; not mapped files.
func infoMemory(w *fields) {
	m := processMemory()
	w.num("used_memory", m["RssAnon"])
	w.num("used_memory_rss", m["VmRSS"])
	w.num("used_memory_peak", m["VmHWM"])
}

// processMemory returns the sizes in /proc/self/status, in bytes.
func processMemory() map[string]int64 {
	out := map[string]int64{}
	f, err := os.Open("/proc/self/status")
	if err != nil {
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		if words := strings.Fields(rest); len(words) == 2 && words[1] == "kB" {
			n, _ := strconv.ParseInt(words[0], 10, 64)
			out[name] = n << 10
		}
	}
	return out
}

func (p *program) infoPersistence(w *fields) {
	s, last, took := p.saver.figures()
	w.flag("loading", false) // the data are open before a client can connect
	w.flag("async_loading", false)
	w.flag("rdb_bgsave_in_progress", s.BgsaveInProgress)
	w.num("rdb_last_save_time", s.LastSaveUnix)
	status := "ok"
	if !s.LastBgsaveOK {
		status = "err"
	}
	w.str("rdb_last_bgsave_status", status)
	w.num("rdb_last_bgsave_time_sec", s.LastBgsaveSeconds)
	w.num("rdb_last_bgsave_time_usec", took.Microseconds())
	w.num("rdb_current_bgsave_time_sec", s.CurrentBgsaveSeconds)
	w.num("rdb_saves", s.Saves)
	w.str("rdb_current_bgsave_type", orNone(s.CurrentType))
	w.str("rdb_last_bgsave_type", orNone(s.LastType))
	w.num("rdb_last_pause_usec", s.LastPauseUsec)
	w.str("rdb_last_error", s.LastError)
	w.num("rdb_last_save_keys", last.keys)
	w.num("rdb_last_save_bytes", last.bytes)
	w.num("rdb_last_save_shared_bytes", last.shared)
	w.flag("aof_enabled", false)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}
