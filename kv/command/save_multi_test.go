package command

import "testing"

// In a transaction too BGSAVE SCHEDULE waits for the save in progress, and BGSAVE does not.
func TestScheduleInMultiWhileSaving(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	w.info.BgsaveInProgress = true
	doString(x, c, "MULTI")
	doString(x, c, "BGSAVE", "TO", "a", "SCHEDULE")
	doString(x, c, "BGSAVE", "TO", "b")
	want := "*2\r\n+Background saving scheduled\r\n-ERR Background save already in progress\r\n"
	if got := doString(x, c, "EXEC"); got != want {
		t.Errorf("%q", got)
	}
	if len(w.requests) != 1 || w.requests[0].Name != "a" || !w.requests[0].Schedule {
		t.Errorf("asked for %+v", w.requests)
	}
}

// A save that cannot be made for its name is refused in the transaction, not in the log behind it.
func TestSaveOfBadNameInMulti(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "MULTI")
	doString(x, c, "BGSAVE", "TO", "bad/name")
	if got := doString(x, c, "EXEC"); got != "*1\r\n-ERR a name has no slash\r\n" || len(w.requests) != 0 {
		t.Errorf("%q, asked for %+v", got, w.requests)
	}
}
