package command

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// infoSection is one section of INFO.
type infoSection struct {
	name  string
	title string
	extra bool // not among the default sections
	write func(x *Ctx, w *infoWriter)
}

var infoSections = []infoSection{
	{"server", "Server", false, infoServer},
	{"clients", "Clients", false, infoClients},
	{"memory", "Memory", false, infoMemory},
	{"persistence", "Persistence", false, infoPersistence},
	{"stats", "Stats", false, infoStats},
	{"replication", "Replication", false, infoReplication},
	{"cpu", "CPU", false, infoCPU},
	{"modules", "Modules", false, func(*Ctx, *infoWriter) {}},
	{"commandstats", "Commandstats", true, infoCommandStats},
	{"errorstats", "Errorstats", false, infoErrorStats},
	{"latencystats", "Latencystats", true, infoLatencyStats},
	{"cluster", "Cluster", false, func(_ *Ctx, w *infoWriter) { w.num("cluster_enabled", 0) }},
	{"keyspace", "Keyspace", false, infoKeyspace},
}

// infoWriter collects the lines.
type infoWriter struct{ b []byte }

func (w *infoWriter) str(name, value string) {
	w.b = append(append(append(append(w.b, name...), ':'), value...), '\r', '\n')
}

func (w *infoWriter) num(name string, n int64) { w.str(name, strconv.FormatInt(n, 10)) }

func (w *infoWriter) flag(name string, on bool) {
	if on {
		w.num(name, 1)
	} else {
		w.num(name, 0)
	}
}

func (w *infoWriter) fix2(name string, f float64) { w.str(name, strconv.FormatFloat(f, 'f', 2, 64)) }

func (w *infoWriter) fix3(name string, f float64) { w.str(name, strconv.FormatFloat(f, 'f', 3, 64)) }

// text writes what may hold line breaks, which would end the line.
func (w *infoWriter) text(name, value string) { w.str(name, lineBreaks.Replace(value)) }

var lineBreaks = strings.NewReplacer("\r", " ", "\n", " ")

// zero writes fields of things that kvd does not have.
func (w *infoWriter) zero(names ...string) {
	for _, n := range names {
		w.num(n, 0)
	}
}

// human writes a number of bytes twice, the second time for people.
func (w *infoWriter) human(name string, n int64) {
	w.num(name, n)
	w.str(name+"_human", bytesToHuman(n))
}

// bytesToHuman formats bytes as INFO does.
func bytesToHuman(n int64) string {
	f, unit := float64(n), 0
	for f >= 1024 && unit < 5 {
		f /= 1024
		unit++
	}
	if unit == 0 {
		return fmt.Sprintf("%dB", n)
	}
	return fmt.Sprintf("%.2f%c", f, "BKMGTP"[unit])
}

func cmdInfo(x *Ctx) {
	want := map[string]bool{}
	defaults, all := len(x.Args) == 1, false
	for _, a := range x.Args[1:] {
		switch n := strings.ToLower(string(a)); n {
		case "all", "everything":
			all = true
		case "default":
			defaults = true
		default:
			want[n] = true
		}
	}
	x.flushStats()
	w := &infoWriter{}
	for _, s := range infoSections {
		if !all && !want[s.name] && !(defaults && !s.extra) {
			continue
		}
		if len(w.b) > 0 {
			w.b = append(w.b, '\r', '\n')
		}
		w.b = append(append(append(w.b, "# "...), s.title...), '\r', '\n')
		s.write(x, w)
	}
	x.Verbatim("txt", string(w.b))
}

func infoServer(x *Ctx, w *infoWriter) {
	now := time.Now()
	up := int64(now.Sub(x.state.base).Seconds())
	exe, _ := os.Executable()
	w.str("redis_version", RedisVersion)
	w.str("redis_git_sha1", "00000000")
	w.num("redis_git_dirty", 0)
	w.str("redis_build_id", x.state.runID[:16])
	w.str("redis_mode", "standalone")
	w.str("kvd_version", x.Version)
	w.str("os", "Linux "+firstLine("/proc/sys/kernel/osrelease")+" "+machine())
	w.num("arch_bits", strconv.IntSize)
	w.str("monotonic_clock", "POSIX clock_gettime")
	w.str("multiplexing_api", "epoll")
	w.str("atomicvar_api", "go-builtin")
	w.str("gcc_version", "0.0.0")
	w.str("go_version", strings.TrimPrefix(runtime.Version(), "go"))
	w.num("process_id", int64(os.Getpid()))
	w.str("process_supervised", x.Config.String("supervised"))
	w.str("run_id", x.state.runID)
	w.num("tcp_port", x.Config.Int("port"))
	w.num("server_time_usec", now.UnixMicro())
	w.num("uptime_in_seconds", up)
	w.num("uptime_in_days", up/86400)
	w.num("hz", x.Config.Int("hz"))
	w.num("configured_hz", x.Config.Int("hz"))
	w.num("lru_clock", now.Unix()&(1<<24-1))
	w.str("executable", exe)
	w.str("config_file", x.Config.File())
	w.zero("io_threads_active")
}

// machine is the architecture as uname prints it.
func machine() string {
	if runtime.GOARCH == "arm64" {
		return "aarch64"
	}
	return "x86_64"
}

func firstLine(path string) string {
	b, _ := os.ReadFile(path)
	line, _, _ := strings.Cut(string(b), "\n")
	return line
}

func infoClients(x *Ctx, w *infoWriter) {
	var maxIn, maxOut int64
	x.Clients.Each(func(c *Client) bool {
		maxIn = max(maxIn, c.QueryBuf.Load()+c.QueryBufFree.Load())
		maxOut = max(maxOut, c.OutBuf.Load()+c.OutMem.Load())
		return true
	})
	w.num("connected_clients", int64(x.Clients.Count()))
	w.zero("cluster_connections")
	w.num("maxclients", x.Config.Int("maxclients"))
	w.num("client_recent_max_input_buffer", maxIn)
	w.num("client_recent_max_output_buffer", maxOut)
	w.num("blocked_clients", x.state.blocked.Load())
	w.zero("tracking_clients")
	w.num("clients_in_timeout_table", x.timeouts())
}

func infoPersistence(x *Ctx, w *infoWriter) {
	s := x.Saver.Info()
	loading := s.Loading || x.IsLoading()
	w.flag("loading", loading)
	w.flag("async_loading", s.AsyncLoading)
	w.num("current_cow_peak", s.CurrentCOWPeakBytes)
	w.num("current_cow_size", s.CurrentCOWBytes)
	w.num("current_cow_size_age", s.CurrentCOWAgeSeconds)
	w.fix2("current_fork_perc", s.CurrentShare*100)
	w.num("current_save_keys_processed", s.CurrentSaveKeysDone)
	w.num("current_save_keys_total", s.CurrentSaveKeysTotal)
	w.num("rdb_changes_since_last_save", s.ChangesSinceLastSave)
	w.flag("rdb_bgsave_in_progress", s.BgsaveInProgress)
	w.num("rdb_last_save_time", s.LastSaveUnix)
	w.str("rdb_last_bgsave_status", saveStatus(s.LastBgsaveOK))
	w.num("rdb_last_bgsave_time_sec", s.LastBgsaveSeconds)
	w.num("rdb_current_bgsave_time_sec", s.CurrentBgsaveSeconds)
	w.num("rdb_saves", s.Saves)
	w.num("rdb_last_cow_size", s.LastCOWBytes)
	w.num("rdb_last_load_keys_expired", s.LastLoadKeysExpired)
	w.num("rdb_last_load_keys_loaded", s.LastLoadKeysLoaded)
	w.str("rdb_current_bgsave_type", orNone(s.CurrentType))
	w.str("rdb_last_bgsave_type", orNone(s.LastType))
	w.num("rdb_last_pause_usec", s.LastPauseUsec)
	w.num("rdb_last_extra_memory_peak", s.LastExtraMemoryPeak)
	w.text("rdb_last_error", s.LastError)
	infoSaves(w, &s)
	w.zero("aof_enabled", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
	w.num("aof_last_rewrite_time_sec", -1)
	w.num("aof_current_rewrite_time_sec", -1)
	w.str("aof_last_bgrewrite_status", "ok")
	w.zero("aof_rewrites", "aof_rewrites_consecutive_failures")
	w.str("aof_last_write_status", "ok")
	w.zero("aof_last_cow_size", "module_fork_in_progress", "module_fork_last_cow_size")
	if loading {
		w.num("loading_start_time", s.LoadingStart)
		w.num("loading_total_bytes", s.LoadingTotalBytes)
		w.num("loading_rdb_used_mem", s.LoadingRDBUsedMem)
		w.num("loading_loaded_bytes", s.LoadingLoadedBytes)
		w.fix2("loading_loaded_perc", ratio(s.LoadingLoadedBytes, s.LoadingTotalBytes)*100)
		w.num("loading_eta_seconds", s.LoadingETASeconds)
	}
}

// infoSaves writes what kvd tells of the last save and of the one in progress.
func infoSaves(w *infoWriter, s *SaveInfo) {
	w.text("rdb_last_save_reason", s.LastReason)
	w.text("rdb_last_auto_reason", s.LastAutoReason)
	w.text("rdb_last_save_verified", s.LastVerified)
	w.num("rdb_last_save_keys", s.LastKeys)
	w.num("rdb_last_save_bytes", s.LastBytes)
	w.fix3("rdb_last_save_seconds", s.LastSeconds)
	w.fix3("rdb_last_verify_seconds", s.LastVerifySeconds)
	w.num("rdb_last_cow_faults", s.LastCOWFaults)
	w.flag("rdb_last_limit_reached", s.LastLimitReached)
	w.text("rdb_last_hook", s.LastHook)
	w.text("rdb_current_save_reason", s.CurrentReason)
	w.text("rdb_current_save_phase", s.CurrentPhase)
	w.text("rdb_current_save_name", s.CurrentName)
	w.num("rdb_current_save_eta_seconds", s.CurrentETASeconds)
	w.num("rdb_current_extra_memory", s.CurrentExtraBytes)
	w.num("rdb_current_memory_limit", s.CurrentLimitBytes)
	w.fix2("rdb_current_throttle", s.CurrentThrottled)
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// ratio returns a/b, 0 if there is no b.
func ratio(a, b int64) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}

func infoStats(x *Ctx, w *infoWriter) {
	t, st, s := x.sum(), &x.state.stats, x.Saver.Info()
	st.mu.Lock()
	ops, in, out := st.ops.perSecond(), st.input.perSecond(), st.output.perSecond()
	st.mu.Unlock()
	w.num("total_connections_received", st.connections.Load())
	w.num("total_commands_processed", t.commands)
	w.num("instantaneous_ops_per_sec", int64(ops))
	w.num("total_net_input_bytes", t.readBytes)
	w.num("total_net_output_bytes", t.writeBytes)
	w.zero("total_net_repl_input_bytes", "total_net_repl_output_bytes")
	w.fix2("instantaneous_input_kbps", in/1024)
	w.fix2("instantaneous_output_kbps", out/1024)
	w.fix2("instantaneous_input_repl_kbps", 0)
	w.fix2("instantaneous_output_repl_kbps", 0)
	w.num("rejected_connections", st.rejected.Load())
	w.zero("sync_full", "sync_partial_ok", "sync_partial_err")
	w.num("expired_keys", x.Store.ExpiredKeys())
	w.num("expired_subkeys", x.Store.ExpiredFields())
	w.fix2("expired_stale_perc", x.Store.ExpiredStalePercent())
	w.zero("expired_time_cap_reached_count", "expire_cycle_cpu_milliseconds", "evicted_keys", "evicted_clients",
		"total_eviction_exceeded_time", "current_eviction_exceeded_time")
	w.num("keyspace_hits", t.hits)
	w.num("keyspace_misses", t.misses)
	w.zero("pubsub_channels", "pubsub_patterns", "pubsubshard_channels")
	forks := max(s.TotalForks-st.forksBase.Load(), 0)
	if forks > 0 {
		w.num("latest_fork_usec", s.LatestForkUsec)
	} else {
		w.zero("latest_fork_usec")
	}
	w.num("total_forks", forks)
	w.zero("migrate_cached_sockets", "slave_expires_tracked_keys", "active_defrag_hits", "active_defrag_misses",
		"active_defrag_key_hits", "active_defrag_key_misses", "total_active_defrag_time", "current_active_defrag_time",
		"tracking_total_keys", "tracking_total_items", "tracking_total_prefixes", "unexpected_error_replies")
	w.num("total_error_replies", t.errs)
	w.zero("dump_payload_sanitizations")
	w.num("total_reads_processed", t.reads)
	w.num("total_writes_processed", t.writes)
	w.zero("io_threaded_reads_processed", "io_threaded_writes_processed", "reply_buffer_shrinks", "reply_buffer_expands")
}

func infoReplication(x *Ctx, w *infoWriter) {
	w.str("role", "master")
	w.zero("connected_slaves")
	w.str("master_failover_state", "no-failover")
	w.str("master_replid", x.state.replID)
	w.str("master_replid2", strings.Repeat("0", 40))
	w.zero("master_repl_offset")
	w.num("second_repl_offset", -1)
	w.zero("repl_backlog_active")
	w.num("repl_backlog_size", x.Config.Int("repl-backlog-size"))
	w.zero("repl_backlog_first_byte_offset", "repl_backlog_histlen")
}

// rusageThread is RUSAGE_THREAD: the event loop that answers.
const rusageThread = 1

func infoCPU(_ *Ctx, w *infoWriter) {
	for _, who := range []struct {
		id     int
		suffix string
	}{{syscall.RUSAGE_SELF, ""}, {syscall.RUSAGE_CHILDREN, "_children"}, {rusageThread, "_main_thread"}} {
		var u syscall.Rusage
		if err := syscall.Getrusage(who.id, &u); err != nil {
			u = syscall.Rusage{}
		}
		w.str("used_cpu_sys"+who.suffix, fmt.Sprintf("%d.%06d", u.Stime.Sec, u.Stime.Usec))
		w.str("used_cpu_user"+who.suffix, fmt.Sprintf("%d.%06d", u.Utime.Sec, u.Utime.Usec))
	}
}

func infoCommandStats(x *Ctx, w *infoWriter) {
	t := x.sum()
	for i, c := range t.cmds {
		if c.calls|c.rejected|c.failed == 0 {
			continue
		}
		usec := c.nanos / 1000
		per := 0.0
		if c.calls > 0 {
			per = float64(c.nanos) / 1000 / float64(c.calls)
		}
		w.str("cmdstat_"+x.state.table.all[i].Name, fmt.Sprintf("calls=%d,usec=%d,usec_per_call=%.2f,rejected_calls=%d,failed_calls=%d",
			c.calls, usec, per, c.rejected, c.failed))
	}
}

func infoErrorStats(x *Ctx, w *infoWriter) {
	t := x.sum()
	codes := make([]string, 0, len(t.codes))
	for code := range t.codes {
		codes = append(codes, code)
	}
	slices.Sort(codes)
	for _, code := range codes {
		w.str("errorstat_"+code, fmt.Sprintf("count=%d", t.codes[code]))
	}
}

func infoLatencyStats(x *Ctx, w *infoWriter) {
	if !x.Config.Bool("latency-tracking") {
		return
	}
	percentiles := x.Config.Percentiles()
	for i, s := range x.state.table.all {
		h := x.latencyOf(i)
		if h == nil {
			continue
		}
		parts := make([]string, len(percentiles))
		for k, p := range percentiles {
			parts[k] = fmt.Sprintf("p%s=%.3f", strconv.FormatFloat(p, 'g', -1, 64), float64(h.percentile(p))/1000)
		}
		w.str("latency_percentiles_usec_"+s.Name, strings.Join(parts, ","))
	}
}

func infoKeyspace(x *Ctx, w *infoWriter) {
	for db := range x.Store.Databases() {
		if n := x.Store.Len(db); n > 0 {
			w.str("db"+strconv.Itoa(db), fmt.Sprintf("keys=%d,expires=%d,avg_ttl=%d", n, x.Store.Expires(db), x.Store.AvgTTL(db)))
		}
	}
}
