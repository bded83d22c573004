//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Redis' log levels as slog's: notice is slog's Info, so that packages that know nothing of Redis log as they should.
const (
	levelDebug   = slog.LevelDebug
	levelVerbose = slog.Level(-2)
	levelNotice  = slog.LevelInfo
	levelWarning = slog.LevelWarn
)

// Roles of the process in a log line.
const (
	roleMaster = 'M'
	roleChild  = 'C' // a child, or a server that is not set up yet
)

// logOptions are the directives that say where the log goes. An empty File means Stdout.
type logOptions struct {
	File     string // relative to the working directory, whatever that is when a line is written
	Level    string // debug, verbose, notice or warning
	Stdout   io.Writer
	Syslog   bool
	Ident    string
	Facility string // user, local0 … local7
}

// redisLog writes lines in Redis' format:
//
//	PID:ROLE 21 Nov 2026 23:59:00.123 * message key=value
//
// It is safe for concurrent use.
type redisLog struct {
	opts  logOptions
	level slog.LevelVar
	role  atomic.Int32
	pid   int
	crash bool // under mu: the runtime's report of a crash goes to the file, too

	mu       sync.Mutex
	file     *os.File
	fileInfo os.FileInfo
	system   *syslog.Writer
	retryAt  time.Time // when to look for a missing system log again
	buf      []byte
}

// newRedisLog never fails: a file that cannot be opened loses its lines, as in Redis, which is why the configuration is
// refused when its log file cannot be opened at the start.
func newRedisLog(opts logOptions) *redisLog {
	l := &redisLog{opts: opts, pid: os.Getpid()}
	if l.opts.Stdout == nil {
		l.opts.Stdout = os.Stdout
	}
	l.SetRole(roleChild)
	l.SetLevel(opts.Level)
	return l
}

// SetLevel takes one of Redis' names; any other means notice.
func (l *redisLog) SetLevel(name string) {
	switch name {
	case "debug":
		l.level.Set(levelDebug)
	case "verbose":
		l.level.Set(levelVerbose)
	case "warning":
		l.level.Set(levelWarning)
	default:
		l.level.Set(levelNotice)
	}
}

// SetRole sets the letter behind the pid.
func (l *redisLog) SetRole(role rune) { l.role.Store(role) }

// SetCrashLog decides what is left behind by a panic: with enabled the runtime's report has the stacks of all goroutines
// and goes to the log file, too, which is all that a daemon has; without it standard error gets a short one.
func (l *redisLog) SetCrashLog(enabled bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.crash = enabled
	level := "single"
	if enabled {
		level = "all"
	}
	debug.SetTraceback(level)
	_ = l.out()
	l.crashToFile()
}

// crashToFile points the runtime at the file that is open now, or at none. It keeps a descriptor of its own.
func (l *redisLog) crashToFile() {
	f := l.file
	if !l.crash {
		f = nil
	}
	_ = debug.SetCrashOutput(f, debug.CrashOptions{})
}

// Logger returns a logger that writes to l.
func (l *redisLog) Logger() *slog.Logger { return slog.New(logHandler{log: l}) }

// Close closes the file; a later line opens it again.
func (l *redisLog) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closeFile()
	if l.system != nil {
		_ = l.system.Close()
		l.system = nil
	}
}

func (l *redisLog) closeFile() {
	if l.file != nil {
		_ = l.file.Close()
		l.file = nil
	}
}

func (l *redisLog) write(t time.Time, level slog.Level, message string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b := strconv.AppendInt(l.buf[:0], int64(l.pid), 10)
	b = append(b, ':', byte(l.role.Load()), ' ')
	b = t.AppendFormat(b, "02 Jan 2006 15:04:05.000")
	b = append(b, ' ', levelMark(level), ' ')
	b = append(b, message...)
	b = append(b, '\n')
	l.buf = b
	if w := l.out(); w != nil {
		_, _ = w.Write(b)
	}
	if l.opts.Syslog {
		l.toSystem(level, message)
	}
}

func levelMark(level slog.Level) byte {
	switch {
	case level >= levelWarning:
		return '#'
	case level >= levelNotice:
		return '*'
	case level >= levelVerbose:
		return '-'
	}
	return '.'
}

// out returns where lines go. Redis opens its log file for every line, so that a rotated or removed file is followed at
// once; one look at the name does the same here.
func (l *redisLog) out() io.Writer {
	if l.opts.File == "" {
		return l.opts.Stdout
	}
	info, err := os.Stat(l.opts.File)
	if l.file != nil && err == nil && os.SameFile(info, l.fileInfo) {
		return l.file
	}
	l.closeFile()
	f, err := os.OpenFile(l.opts.File, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil
	}
	if info, err = f.Stat(); err != nil {
		_ = f.Close()
		return nil
	}
	l.file, l.fileInfo = f, info
	if l.crash {
		l.crashToFile()
	}
	return f
}

var facilities = map[string]syslog.Priority{
	"user": syslog.LOG_USER, "local0": syslog.LOG_LOCAL0, "local1": syslog.LOG_LOCAL1, "local2": syslog.LOG_LOCAL2,
	"local3": syslog.LOG_LOCAL3, "local4": syslog.LOG_LOCAL4, "local5": syslog.LOG_LOCAL5, "local6": syslog.LOG_LOCAL6,
	"local7": syslog.LOG_LOCAL7,
}

// dialSyslog is replaced in tests, which have no system log.
var dialSyslog = syslog.New

// toSystem sends a line to the system log. One that is not there is looked for again once a second.
func (l *redisLog) toSystem(level slog.Level, message string) {
	if l.system == nil {
		now := time.Now()
		if now.Before(l.retryAt) {
			return
		}
		w, err := dialSyslog(facilities[l.opts.Facility]|syslog.LOG_NOTICE, l.opts.Ident)
		if err != nil {
			l.retryAt = now.Add(time.Second)
			return
		}
		l.system = w
	}
	var err error
	switch levelMark(level) {
	case '#':
		err = l.system.Warning(message)
	case '*':
		err = l.system.Notice(message)
	case '-':
		err = l.system.Info(message)
	default:
		err = l.system.Debug(message)
	}
	if err != nil {
		_ = l.system.Close()
		l.system = nil
	}
}

// logHandler is the slog.Handler; attrs is the text of WithAttrs and prefix that of WithGroup.
type logHandler struct {
	log    *redisLog
	attrs  string
	prefix string
}

func (h logHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.log.level.Level()
}

func (h logHandler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(oneLine(r.Message))
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.prefix, a)
		return true
	})
	t := r.Time
	if t.IsZero() {
		t = time.Now()
	}
	h.log.write(t, r.Level, b.String())
	return nil
}

func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	h.attrs = b.String()
	return h
}

func (h logHandler) WithGroup(name string) slog.Handler {
	if name != "" {
		h.prefix += name + "."
	}
	return h
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if a.Equal(slog.Attr{}) {
		return
	}
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			appendAttr(b, prefix, member)
		}
		return
	}
	s := v.String()
	if s == "" || strings.ContainsAny(s, " =\"") || oneLine(s) != s {
		s = strconv.Quote(s)
	}
	fmt.Fprintf(b, " %s%s=%s", prefix, a.Key, s)
}

// oneLine keeps what clients or the system wrote into a message from looking like lines of their own.
func oneLine(s string) string {
	clean := strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) < 0
	if clean {
		return s
	}
	quoted := strconv.Quote(s)
	return quoted[1 : len(quoted)-1]
}
