package command

import "testing"

// TestOrderOfReadyKeys: inside a transaction the key that has got something first is served first, whatever
// was done to the others before.
func TestOrderOfReadyKeys(t *testing.T) {
	for _, before := range [][]string{{"RPOP", "a"}, {"DEL", "a"}, {"BLPOP", "a", "0"}, {"LPUSHX", "a", "v"}, {"SET", "a", "v"}} {
		w := newWorld(t)
		x, c, p := w.e.NewCtx(), w.connect(), w.connect()
		if got := x.Do(c, [][]byte{[]byte("BLPOP"), []byte("a"), []byte("b"), []byte("0")}); got != Blocked {
			t.Fatal("outcome: ", got)
		}
		for _, cmd := range [][]string{{"MULTI"}, before, {"DEL", "a"}, {"RPUSH", "b", "1"}, {"RPUSH", "a", "2"}, {"EXEC"}} {
			doString(x, p, cmd...)
		}
		x.Resume(c)
		if got := string(c.Out); got != "*2\r\n$1\r\nb\r\n$1\r\n1\r\n" {
			t.Errorf("after %q: %q", before, got)
		}
	}
}
