package command

import (
	"log/slog"
	"slices"
	"strings"
	"testing"

	"kvd/kv/config"
)

// chosen returns a world whose engine has a choice of commands.
func chosen(t *testing.T, keep []string, rows ...*Spec) *fakeWorld {
	t.Helper()
	w := newWorld(t)
	cfg := config.New()
	w.e = NewEngine(w.e.Store, cfg, slog.New(slog.DiscardHandler), Commands(keep, rows...))
	w.e.Saver, w.e.Clients = w, w
	return w
}

func TestChosenCommands(t *testing.T) {
	get := Row("get")
	get.Handler = func(x *Ctx) { x.BulkString("mine:" + string(x.Args[1])) }
	own := &Spec{Name: "mine", Arity: -2, Flags: Fast, Lock: LockSelf, Handler: func(x *Ctx) { x.Int(int64(len(x.Args))) }}
	w := chosen(t, []string{"get", "set", "client", "command", "info"}, get, own)
	x, c := w.e.NewCtx(), w.connect()
	for _, tc := range [][2]string{
		{"GET a", "$6\r\nmine:a\r\n"},
		{"get", "-ERR wrong number of arguments for 'get' command\r\n"},
		{"Mine 1 2", ":3\r\n"},
		{"SET a b", "+OK\r\n"},
		{"DEL a", "-ERR unknown command 'DEL', with args beginning with: 'a' \r\n"},
		{"MULTI", "-ERR unknown command 'MULTI', with args beginning with: \r\n"},
		{"CLIENT SETNAME me", "+OK\r\n"},
		{"CLIENT GETNAME", "$2\r\nme\r\n"},
		{"CLIENT nosuch", "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n"},
		{"COMMAND COUNT", ":6\r\n"},
		{"COMMAND INFO del", "*1\r\n$-1\r\n"},
		{"COMMAND GETKEYS get k", "*1\r\n$1\r\nk\r\n"},
	} {
		if got := doString(x, c, strings.Fields(tc[0])...); got != tc[1] {
			t.Errorf("%s: %q, want %q", tc[0], got, tc[1])
		}
	}
	x.EndRound()
	if got := doString(x, c, "INFO", "commandstats"); !strings.Contains(got, "cmdstat_mine:calls=1,") || !strings.Contains(got, "cmdstat_get:calls=1,") {
		t.Errorf("counted as %s", got)
	}

	// An ordinary engine of the same process has its own rows, and all of them.
	plain := newWorld(t)
	px, pc := plain.e.NewCtx(), plain.connect()
	if got := doString(px, pc, "SET", "a", "b") + doString(px, pc, "GET", "a") + doString(px, pc, "DEL", "a"); got != "+OK\r\n$1\r\nb\r\n:1\r\n" {
		t.Errorf("an ordinary engine answers %q", got)
	}
	for i, s := range sharedTable().all {
		if s.id != i || s.parent != nil && !slices.Contains(s.parent.Sub, s) {
			t.Fatalf("the shared row %s was changed", s.Name)
		}
	}
	if s := sharedTable().lookupName([]byte("mine")); s != nil {
		t.Error("the shared table has got a row")
	}
}

// TestMistakenChoices: a mistake in a program ends it, instead of serving something else.
func TestMistakenChoices(t *testing.T) {
	nop := func(*Ctx) {}
	for name, fn := range map[string]func(){
		"an unknown name":     func() { chosen(t, []string{"nosuch"}) },
		"a name twice":        func() { chosen(t, []string{"get", "get"}) },
		"a row twice":         func() { chosen(t, nil, &Spec{Name: "a", Handler: nop}, &Spec{Name: "a", Handler: nop}) },
		"a row with no use":   func() { chosen(t, nil, &Spec{Name: "a"}) },
		"a copy of no row":    func() { Row("nosuch") },
		"too long for a name": func() { chosen(t, nil, &Spec{Name: strings.Repeat("a", maxTableName+1), Handler: nop}) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s is accepted", name)
				}
			}()
			fn()
		}()
	}
}

// TestOwnCommandMayAwait: a handler of an embedding program postpones its client,
// whose arguments it finds again, and prepares its work once.
func TestOwnCommandMayAwait(t *testing.T) {
	hold := make(chan struct{})
	prepared := 0
	own := &Spec{Name: "own", Arity: 2, Lock: LockSelf, Handler: func(x *Ctx) {
		var fn func() (string, error)
		if !x.Awaiting() {
			prepared++
			value := string(x.Args[1])
			fn = func() (string, error) { <-hold; return value, nil }
		}
		if status, done, err := x.Await(fn); done && err == nil {
			x.Simple(status + "=" + string(x.Args[1]))
		}
	}}
	w := chosen(t, []string{"ping"}, own)
	x, c, other := w.e.NewCtx(), w.connect(), w.connect()
	args := [][]byte{[]byte("OWN"), []byte("value")}
	for range 3 {
		if got := x.Do(c, args); got != Postponed || len(c.Out) > 0 {
			t.Fatalf("outcome %d, reply %q", got, c.Out)
		}
	}
	if got := doString(x, other, "PING"); got != "+PONG\r\n" {
		t.Fatalf("meanwhile: %q", got)
	}
	close(hold)
	await(t, "somebody is woken", func() bool { return w.wakes.Load() > 0 })
	if got := x.Do(c, args); got != Done || string(c.Out) != "+value=value\r\n" || prepared != 1 {
		t.Errorf("outcome %d, reply %q, prepared %d times", got, c.Out, prepared)
	}
}
