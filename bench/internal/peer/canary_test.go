//go:build linux

package peer

import (
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"kvd/bench/internal/noise"
)

func TestNothingAnswersConstants(t *testing.T) {
	p := start(t, "nothing", "--value-bytes", "5")
	c := p.dial()
	c.want("xxxxx", "GET", "any")
	c.want("OK", "SET", "any", "thing")
	c.want("3", "DEL", "a", "b", "c")
	c.want("PONG", "PING")
	c.want("0", "DBSIZE")
	c.want("2", "RPUSH", "l", "a", "b")
	c.want("2", "HSET", "h", "f", "v", "g", "w")
	c.want("xxxxx", "HGET", "h", "f")
	c.want("-ERR unknown command 'INCR', with args beginning with: 'a' ", "INCR", "a")
	c.want("-ERR unknown command 'BGSAVE', with args beginning with: ", "BGSAVE")
	c.want("-ERR wrong number of arguments for 'get' command", "GET")
	if got := c.info("process_id"); got != strconv.Itoa(p.cmd.Process.Pid) {
		t.Errorf("process_id %s", got)
	}
	c.want("OK", "SET", "a", "b")
	if code := p.terminate(); code != 0 {
		t.Errorf("status %d", code)
	}
}

// replies returns the times at which a client got its PINGs answered, until stop
// is closed.
func replies(c *client, stop <-chan struct{}) <-chan []time.Time {
	out := make(chan []time.Time, 1)
	go func() {
		at := []time.Time{time.Now()}
		for {
			select {
			case <-stop:
				out <- at
				return
			default:
			}
			if _, err := c.Do("PING"); err != nil {
				out <- nil
				return
			}
			at = append(at, time.Now())
		}
	}()
	return out
}

func longestGap(at []time.Time) (gap time.Duration) {
	for i := 1; i < len(at); i++ {
		gap = max(gap, at[i].Sub(at[i-1]))
	}
	return gap
}

// TestPauseIsSeenByAll: each of two clients, on event loops of their own, sees the
// pause that INFO tells, and so does the one that asked for the save.
func TestPauseIsSeenByAll(t *testing.T) {
	p := start(t, "pause", "--io-threads", "2", "--save-ms", "100")
	asking, a, b := p.dial(), p.dial(), p.dial()
	noise.Attempts(t, 8, func(t *noise.T) { seePause(t, asking, a, b) })
	asking.want("-ERR syntax error", "BGSAVE", "fork")
	asking.want("-ERR syntax error", "BGSAVE", "pause", "pause")
	if code := p.terminate(); code != 0 {
		t.Errorf("status %d", code)
	}
}

func seePause(t *noise.T, asking, a, b *client) {
	const stated = 50 * time.Millisecond
	stop := make(chan struct{})
	one, two := replies(a, stop), replies(b, stop)
	time.Sleep(50 * time.Millisecond)
	from := time.Now()
	asking.want(textStarted, "BGSAVE")
	took := time.Since(from)
	if took < stated {
		t.Fatalf("who asked waited for %v, not %v", took, stated)
	}
	if got := asking.do("BGSAVE", "pause"); got != "-"+textInProgress {
		t.Errorf("a second save meanwhile: %v", got) // the first is over, on a machine that has no time
	}
	noise.Wait(t, "the end of the save", func() bool { return asking.info("rdb_bgsave_in_progress") == "0" })
	close(stop)
	for name, gap := range map[string]time.Duration{
		"one client": longestGap(<-one), "the other": longestGap(<-two), "who asked": took, "INFO": asking.usec("rdb_last_pause_usec"),
	} {
		// The last reply before the pause may have been read late.
		if gap < stated-slack || gap > stated+2*slack {
			t.Errorf("%s saw a gap of %v, not %v", name, gap, stated)
		}
	}
	if d := asking.usec("rdb_last_bgsave_time_usec"); d < 150*time.Millisecond {
		t.Fatalf("the save took %v", d)
	}
	if got := asking.info("rdb_last_bgsave_status") + asking.info("rdb_current_bgsave_type"); got != "oknone" {
		t.Fatalf("the save ended as %s", got)
	}
}

// usec returns a field of INFO that is microseconds.
func (c *client) usec(name string) time.Duration {
	c.t.Helper()
	n, err := strconv.Atoi(c.info(name))
	if err != nil {
		c.t.Error(err)
	}
	return time.Duration(n) * time.Microsecond
}

// slack is how late things may be on a busy machine.
const slack = 15 * time.Millisecond

// TestLeakIsSeen: the stated memory is there during the save, and not after it.
func TestLeakIsSeen(t *testing.T) {
	p := start(t, "leak", "--save-ms", "300")
	c := p.dial()
	used := func() int64 {
		n, _ := strconv.ParseInt(c.info("used_memory"), 10, 64)
		return n
	}
	noise.Attempts(t, 5, func(t *noise.T) {
		before, during := used(), int64(0)
		c.want(textStarted, "BGSAVE")
		noise.Wait(t, "the end of the save", func() bool {
			during = max(during, used()-before)
			return c.info("rdb_bgsave_in_progress") == "0"
		})
		after := used() - before
		const stated, noise = 100e6, 8e6
		if during < stated-noise || during > stated+noise || after > noise {
			t.Errorf("%d bytes more during the save, %d after it", during, after)
		}
	})
	c.want("0", "DBSIZE")
	if got := c.do("BGSAVE", "LEAK"); got != textStarted {
		t.Fatal(got)
	}
	if code := p.terminate(); code != 0 { // in the middle of a save
		t.Errorf("status %d", code)
	}
	if _, err := unix.Getpgid(p.cmd.Process.Pid); err == nil {
		t.Error("it lives on")
	}
}
