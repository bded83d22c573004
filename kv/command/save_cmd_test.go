package command

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestBgsaveGrammar(t *testing.T) {
	const syntax, integer, dbRange, empty = errSyntax, errNotInteger, errDBRange, errSnapshotName
	for _, tt := range []struct {
		cmd  string
		want SaveRequest
		err  string
	}{
		{"", SaveRequest{DB: -1}, ""},
		{"fork", SaveRequest{Kind: "fork", DB: -1}, ""},
		{"THREAD", SaveRequest{Kind: "thread", DB: -1}, ""},
		{"Forkless", SaveRequest{Kind: "thread", DB: -1}, ""},
		{"copy", SaveRequest{Kind: "copy", DB: -1}, ""},
		{"AUTO", SaveRequest{Kind: "auto", DB: -1}, ""},
		{"schedule", SaveRequest{Schedule: true, DB: -1}, ""},
		{"to x", SaveRequest{Name: "x", DB: -1}, ""},
		{"TO DB", SaveRequest{Name: "DB", DB: -1}, ""},
		{"to to db 0", SaveRequest{Name: "to"}, ""},
		{"db 15 to Copy thread schedule", SaveRequest{Kind: "thread", Name: "Copy", DB: 15, Schedule: true}, ""},
		{"schedule auto to n db 3", SaveRequest{Kind: "auto", Name: "n", DB: 3, Schedule: true}, ""},
		{"foo", SaveRequest{}, syntax}, {"fork thread", SaveRequest{}, syntax}, {"fork fork", SaveRequest{}, syntax},
		{"schedule schedule", SaveRequest{}, syntax}, {"to", SaveRequest{}, syntax}, {"to a to b", SaveRequest{}, syntax},
		{"db", SaveRequest{}, syntax}, {"db 1 db 1", SaveRequest{}, syntax}, {"db 0 db 0", SaveRequest{}, syntax},
		{"cancel schedule", SaveRequest{}, syntax}, {"fork cancel", SaveRequest{}, syntax}, {"to a cancel", SaveRequest{}, syntax},
		{"db x", SaveRequest{}, integer}, {"db 99999999999", SaveRequest{}, integer}, {"db 1.0", SaveRequest{}, integer},
		{"db 16", SaveRequest{}, dbRange}, {"db -1", SaveRequest{}, dbRange}, {"to ''", SaveRequest{}, empty},
	} {
		w := newWorld(t)
		x, c := w.e.NewCtx(), w.connect()
		args := []string{"BGSAVE"}
		for _, f := range strings.Fields(tt.cmd) {
			args = append(args, strings.Trim(f, "'"))
		}
		want := "+Background saving started\r\n"
		if tt.err != "" {
			want = "-" + tt.err + "\r\n"
		}
		if got := doString(x, c, args...); got != want {
			t.Errorf("BGSAVE %s: %q, want %q", tt.cmd, got, want)
		}
		if tt.err != "" {
			if len(w.requests) > 0 {
				t.Errorf("BGSAVE %s started %+v", tt.cmd, w.requests)
			}
			continue
		}
		if len(w.requests) != 1 || w.requests[0] != tt.want {
			t.Errorf("BGSAVE %s asks for %+v, want %+v", tt.cmd, w.requests, tt.want)
		}
		doString(x, c, "MULTI")
		doString(x, c, args...)
		tt.want.Schedule = true
		if got := doString(x, c, "EXEC"); got != "*1\r\n+Background saving scheduled\r\n" || len(w.requests) != 2 || w.requests[1] != tt.want {
			t.Errorf("in MULTI: %q, asks for %+v", got, w.requests)
		}
	}
}

// snapshotWorld is what Snapshots answers in these tests.
type snapshotWorld struct {
	calls []string
	err   error
	hold  chan struct{} // if set, all calls wait for it
}

func (s *snapshotWorld) call(format string, a ...any) error {
	if s.hold != nil {
		<-s.hold
	}
	s.calls = append(s.calls, fmt.Sprintf(format, a...))
	return s.err
}

func (s *snapshotWorld) List() ([]SnapshotInfo, error) {
	err := s.call("list")
	return []SnapshotInfo{
		{"b", "b.rdb", "named", 300, 1700000001, "thread"}, {"dump", "dump.rdb", "default", 200, 1700000000, ""},
	}, err
}

func (s *snapshotWorld) Verify(name string) (SnapshotReport, error) {
	err := s.call("verify %s", name)
	return SnapshotReport{Name: name, Version: 10, Bytes: 300, Keys: 7, Expires: 3, Expired: 1, Databases: 2, Checksum: true, Seconds: 0.5}, err
}

func (s *snapshotWorld) Load(name string, db, into int) (int64, error) {
	return 7, s.call("load %s %d %d", name, db, into)
}

func TestSnapshotReplies(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	do := func(want string, args ...string) {
		t.Helper()
		if got := doString(x, c, args...); got != want {
			t.Errorf("%q:\n got %q\nwant %q", args, got, want)
		}
	}
	do("-ERR snapshots are not available here\r\n", "SNAPSHOT", "LIST")
	do("-ERR snapshots are not available here\r\n", "SNAPSHOT", "VERIFY", "a")
	do("-ERR snapshots are not available here\r\n", "SNAPSHOT", "LOAD", "a")
	s := &snapshotWorld{}
	w.e.Snapshots = s
	for _, proto := range []string{"2", "3"} {
		mapOf, checksum, seconds := "*", ":1\r\n", "$3\r\n0.5\r\n"
		n := 2
		if proto == "3" {
			mapOf, checksum, seconds, n = "%", "#t\r\n", ",0.5\r\n", 1
		}
		doString(x, c, "HELLO", proto)
		head := func(pairs int) string { return fmt.Sprintf("%s%d\r\n", mapOf, pairs*n) }
		do("*2\r\n"+
			head(6)+"$4\r\nname\r\n$1\r\nb\r\n$4\r\nfile\r\n$5\r\nb.rdb\r\n$4\r\nkind\r\n$5\r\nnamed\r\n$5\r\nbytes\r\n:300\r\n"+
			"$5\r\nsaved\r\n:1700000001\r\n$6\r\nengine\r\n$6\r\nthread\r\n"+
			head(6)+"$4\r\nname\r\n$4\r\ndump\r\n$4\r\nfile\r\n$8\r\ndump.rdb\r\n$4\r\nkind\r\n$7\r\ndefault\r\n$5\r\nbytes\r\n:200\r\n"+
			"$5\r\nsaved\r\n:1700000000\r\n$6\r\nengine\r\n$0\r\n\r\n",
			"snapshot", "list")
		do(head(9)+"$4\r\nname\r\n$1\r\nb\r\n$7\r\nversion\r\n:10\r\n$5\r\nbytes\r\n:300\r\n$4\r\nkeys\r\n:7\r\n$7\r\nexpires\r\n:3\r\n"+
			"$7\r\nexpired\r\n:1\r\n$9\r\ndatabases\r\n:2\r\n$8\r\nchecksum\r\n"+checksum+"$7\r\nseconds\r\n"+seconds,
			"SNAPSHOT", "VERIFY", "b")
		do(":7\r\n", "SNAPSHOT", "LOAD", "b")
	}
	do(":7\r\n", "SNAPSHOT", "LOAD", "DB", "DB", "3")
	do(":7\r\n", "SNAPSHOT", "LOAD", "b", "db", "99", "into", "15")
	if got := strings.Join(s.calls[4:], "; "); got != "verify b; load b -1 -1; load DB 3 3; load b 99 15" {
		t.Errorf("calls %s", got)
	}
	s.calls = nil
	for _, tt := range [][2]string{
		{"LOAD", "-ERR wrong number of arguments for 'snapshot|load' command\r\n"},
		{"LIST x", "-ERR wrong number of arguments for 'snapshot|list' command\r\n"},
		{"VERIFY", "-ERR wrong number of arguments for 'snapshot|verify' command\r\n"},
		{"STATUS x", "-ERR wrong number of arguments for 'snapshot|status' command\r\n"},
		{"FOO", "-ERR unknown subcommand 'FOO'. Try SNAPSHOT HELP.\r\n"},
		{"LOAD b DB", "-ERR syntax error\r\n"}, {"LOAD b INTO 1", "-ERR syntax error\r\n"}, {"LOAD b x 1", "-ERR syntax error\r\n"},
		{"LOAD b DB 1 INTO", "-ERR syntax error\r\n"}, {"LOAD b DB 1 INTO 1 2", "-ERR syntax error\r\n"}, {"LOAD b INTO 1 DB 1", "-ERR syntax error\r\n"},
		{"LOAD b DB x", "-" + errNotInteger + "\r\n"}, {"LOAD b DB 1 INTO x", "-" + errNotInteger + "\r\n"},
		{"LOAD b DB 16", "-" + errDBRange + "\r\n"}, {"LOAD b DB -1 INTO 1", "-" + errDBRange + "\r\n"}, {"LOAD b DB 1 INTO 16", "-" + errDBRange + "\r\n"},
		{"LOAD ''", "-" + errSnapshotName + "\r\n"}, {"VERIFY ''", "-" + errSnapshotName + "\r\n"},
	} {
		args := []string{"SNAPSHOT"}
		for _, f := range strings.Fields(tt[0]) {
			args = append(args, strings.Trim(f, "'"))
		}
		do(tt[1], args...)
	}
	if len(s.calls) > 0 {
		t.Errorf("calls %q", s.calls)
	}
	s.err = ErrSaveInProgress
	do("-ERR Background save already in progress\r\n", "SNAPSHOT", "LOAD", "b")
	s.err = errors.New("no snapshot\nb")
	for _, cmd := range []string{"LIST", "VERIFY b", "LOAD b"} {
		do("-ERR no snapshot b\r\n", strings.Fields("SNAPSHOT "+cmd)...)
	}
	if got := doString(x, c, "SNAPSHOT", "HELP"); !strings.HasPrefix(got, "*11\r\n+SNAPSHOT <subcommand>") {
		t.Errorf("HELP: %q", got)
	}
}

func TestSnapshotsInTransactionsAndWhileSavesFail(t *testing.T) {
	w := newWorld(t)
	s := &snapshotWorld{}
	w.e.Snapshots = s
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "MULTI")
	for _, cmd := range []string{"LIST", "VERIFY a", "LOAD a"} {
		if got := doString(x, c, strings.Fields("SNAPSHOT "+cmd)...); got != "+QUEUED\r\n" {
			t.Errorf("%s: %q", cmd, got)
		}
	}
	want := "*3\r\n"
	for _, cmd := range []string{"LIST", "VERIFY", "LOAD"} {
		want += "-ERR SNAPSHOT " + cmd + " is not allowed inside a transaction\r\n"
	}
	if got := doString(x, c, "EXEC"); got != want || len(s.calls) > 0 {
		t.Errorf("EXEC: %q, calls %q", got, s.calls)
	}
	w.denied = "No space left on device"
	if got := doString(x, c, "SNAPSHOT", "LOAD", "a"); got != ":7\r\n" {
		t.Errorf("while saves fail: %q", got)
	}
	w.e.SetLoading(true)
	if got := doString(x, c, "SNAPSHOT", "LOAD", "a"); !strings.HasPrefix(got, "-LOADING") {
		t.Errorf("while loading: %q", got)
	}
	w.e.SetLoading(false)
	w.e.Pause(time.Now().UnixMilli()+100000, false)
	if got := doString(x, c, "SNAPSHOT", "LOAD", "a"); got != "postponed" {
		t.Errorf("during a pause: %q", got)
	}
	if got := doString(x, c, "SNAPSHOT", "VERIFY", "a"); !strings.HasPrefix(got, "*18\r\n") {
		t.Errorf("during a pause: %q", got)
	}
	w.e.Unpause()
}

// TestSlowSnapshotsHoldUpOneClientOnly: reading a dump takes as long as it takes.
func TestSlowSnapshotsHoldUpOneClientOnly(t *testing.T) {
	for _, cmd := range []string{"LIST", "VERIFY b", "LOAD b DB 1"} {
		w := newWorld(t)
		s := &snapshotWorld{hold: make(chan struct{})}
		w.e.Snapshots = s
		x, c, other := w.e.NewCtx(), w.connect(), w.connect()
		args := [][]byte{[]byte("SNAPSHOT")}
		for _, a := range strings.Fields(cmd) {
			args = append(args, []byte(a))
		}
		for range 3 {
			if got := x.Do(c, args); got != Postponed || len(c.Out) > 0 {
				t.Fatalf("%s: outcome %d, reply %q", cmd, got, c.Out)
			}
			if got := doString(x, other, "SET", "k", "v"); got != "+OK\r\n" {
				t.Fatalf("meanwhile: %q", got)
			}
		}
		close(s.hold)
		await(t, "somebody is woken", func() bool { return w.wakes.Load() > 0 })
		if got := x.Do(c, args); got != Done || len(c.Out) == 0 || c.Out[0] == '-' || len(s.calls) != 1 {
			t.Errorf("%s: outcome %d, reply %q, calls %q", cmd, got, c.Out, s.calls)
		}
	}
}

// someSave is a SaveInfo whose fields can be told apart.
var someSave = SaveInfo{
	BgsaveInProgress: true, CurrentType: "fork", LastType: "thread", LastBgsaveOK: false, Scheduled: true, ChildPID: 4711,
	CurrentSaveKeysDone: 25, CurrentSaveKeysTotal: 100, CurrentBgsaveSeconds: 12, ChangesSinceLastSave: 5, LastSaveUnix: 1700000000, Saves: 9,
	CurrentReason: "save point", CurrentPhase: "writing", CurrentName: "nightly", CurrentShare: 0.25, CurrentETASeconds: 36, CurrentExtraBytes: 1000,
	CurrentLimitBytes: 5000, CurrentThrottled: 0.25, LastReason: "BGSAVE", LastAutoReason: "huge pages:\r\nfork", LastVerified: "full",
	LastKeys: 77, LastBytes: 7700, LastSeconds: 1.5, LastVerifySeconds: 0.125, LastPauseUsec: 80, LatestForkUsec: 60, LastExtraMemoryPeak: 4000,
	LastCOWBytes: 3000, LastCOWFaults: 33, LastLimitReached: true, LastHook: "exit status 3", LastError: "no\nspace", TotalForks: 4, LastLoadKeysLoaded: 8,
}

func TestSnapshotStatus(t *testing.T) {
	w := newWorld(t)
	w.info = someSave
	x, c := w.e.NewCtx(), w.connect()
	const fields = "in-progress=#t engine=fork reason=save point phase=writing name=nightly keys-done=:25 keys-total=:100 percent=,25 " +
		"eta-seconds=:36 elapsed-seconds=:12 extra-bytes=:1000 limit-bytes=:5000 throttled=,0.25 child-pid=:4711 scheduled=#t " +
		"changes-since-last-save=:5 last-save-time=:1700000000 saves=:9 last-engine=thread last-status=err last-reason=BGSAVE " +
		"last-auto-reason=huge pages:\r\nfork last-error=no\nspace last-verified=full last-keys=:77 last-bytes=:7700 last-seconds=,1.5 " +
		"last-verify-seconds=,0.125 last-pause-usec=:80 last-clone-usec=:60 last-extra-peak-bytes=:4000 last-cow-bytes=:3000 " +
		"last-cow-faults=:33 last-limit-reached=#t last-hook=exit status 3 last-load-keys=:8 forks=:4 "
	two := strings.NewReplacer("#t", ":1", "=,", "=").Replace(fields)
	for _, form := range [][3]string{{"2", "*74", two}, {"3", "%37", fields}} {
		proto, want := form[0], form[2]
		doString(x, c, "HELLO", proto)
		raw := doString(x, c, "SNAPSHOT", "STATUS")
		if !strings.HasPrefix(raw, form[1]+"\r\n") {
			t.Errorf("RESP%s: %q", proto, raw[:8])
		}
		v, rest := parseReply(raw)
		var b strings.Builder
		for list := v.([]any); len(list) > 1; list = list[2:] {
			fmt.Fprintf(&b, "%s=%s ", list[0], list[1])
		}
		if b.String() != want || rest != "" {
			t.Errorf("RESP%s\n got %q\nwant %q\nrest %q", proto, b.String(), want, rest)
		}
	}
	doString(x, c, "MULTI")
	doString(x, c, "SNAPSHOT", "STATUS")
	if got := doString(x, c, "EXEC"); !strings.HasPrefix(got, "*1\r\n%37\r\n") {
		t.Errorf("in MULTI: %q", got)
	}
	w.e.SetLoading(true)
	if got := doString(x, c, "SNAPSHOT", "STATUS"); got[0] != '%' {
		t.Errorf("while loading: %q", got)
	}
}

func TestInfoOfSaves(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	names, v := infoFields(doString(x, c, "INFO", "persistence"))
	for _, name := range []string{"rdb_last_save_reason", "rdb_last_auto_reason", "rdb_last_save_verified", "rdb_last_hook", "rdb_current_save_phase"} {
		if v[name] != "" {
			t.Errorf("before the first save %s:%s", name, v[name])
		}
	}
	w.info = someSave
	more, v := infoFields(doString(x, c, "INFO", "persistence"))
	if strings.Join(names, " ") != strings.Join(more, " ") {
		t.Errorf("the fields change from %q to %q", names, more)
	}
	for name, want := range map[string]string{
		"rdb_last_save_reason": "BGSAVE", "rdb_last_auto_reason": "huge pages:  fork", "rdb_last_save_verified": "full", "rdb_last_save_keys": "77",
		"rdb_last_save_bytes": "7700", "rdb_last_save_seconds": "1.500", "rdb_last_verify_seconds": "0.125", "rdb_last_cow_faults": "33",
		"rdb_last_limit_reached": "1", "rdb_last_hook": "exit status 3", "rdb_current_save_reason": "save point", "rdb_current_save_phase": "writing",
		"rdb_current_save_name": "nightly", "rdb_current_save_eta_seconds": "36", "rdb_current_extra_memory": "1000",
		"rdb_current_memory_limit": "5000", "rdb_current_throttle": "0.25", "rdb_last_error": "no space", "rdb_last_bgsave_status": "err",
	} {
		if v[name] != want {
			t.Errorf("%s:%s, want %s", name, v[name], want)
		}
	}
}
