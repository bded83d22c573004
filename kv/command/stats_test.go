package command

import (
	"strings"
	"testing"
	"time"
)

func TestLatencyBuckets(t *testing.T) {
	last := -1
	for v := int64(1); v <= maxLatency; v += 1 + v/100 {
		b := bucketOf(v)
		if b < last {
			t.Fatalf("%d ns goes to bucket %d, shorter ones to %d", v, b, last)
		}
		last = b
		top := bucketMax(b)
		if top < v || float64(top-v) > float64(v)/100 || bucketOf(top) != b || bucketOf(top+1) == b && top < maxLatency {
			t.Fatalf("%d ns: bucket %d ends at %d", v, b, top)
		}
	}
	if b := bucketOf(1 << 62); b != bucketOf(maxLatency) || b > maxBucket {
		t.Errorf("a century goes to bucket %d", b)
	}
	if bucketOf(-5) != bucketOf(1) {
		t.Error("a clock that runs backwards has a bucket of its own")
	}
}

func TestPercentiles(t *testing.T) {
	var h histogram
	for v := int64(1); v <= 1000; v++ {
		h[bucketOf(v*1000)]++
	}
	for _, c := range []struct{ p, want float64 }{{50, 500e3}, {99, 990e3}, {99.9, 999e3}, {100, 1000e3}, {0, 1e3}} {
		if got := float64(h.percentile(c.p)); got < c.want || got > c.want*1.02 {
			t.Errorf("p%v is %v ns, want about %v", c.p, got, c.want)
		}
	}
}

func TestRateIsAnAverageOfSamples(t *testing.T) {
	var r rate
	total := int64(0)
	for range 40 {
		total += 50
		r.add(total, 100*time.Millisecond)
	}
	if got := r.perSecond(); got < 499 || got > 501 {
		t.Errorf("50 commands in 100 ms are %v a second", got)
	}
	r.add(0, 100*time.Millisecond) // CONFIG RESETSTAT
	if got := r.perSecond(); got < 400 || got > 501 {
		t.Errorf("after a reset: %v", got)
	}
}

func TestEndRoundPublishesToOtherLoops(t *testing.T) {
	w := newWorld(t)
	x, y := w.e.NewCtx(), w.e.NewCtx()
	a, b := w.connect(), w.connect()
	x.BeginRound()
	x.Do(a, [][]byte{[]byte("get"), []byte("k")})
	x.Do(a, [][]byte{[]byte("nosuch")})
	x.CountRead(100)
	x.CountWrite(20)
	w.e.ConnectionAccepted()
	w.e.ConnectionRejected()
	if got := doString(y, b, "INFO", "stats"); !strings.Contains(got, "keyspace_misses:0\r\n") {
		t.Errorf("counted before the round has ended: %q", got)
	}
	x.EndRound()
	_, v := infoFields(doString(y, b, "INFO", "all"))
	for name, want := range map[string]string{
		"keyspace_misses": "1", "total_error_replies": "1", "errorstat_ERR": "count=1", "total_net_input_bytes": "100",
		"total_net_output_bytes": "20", "total_reads_processed": "1", "total_connections_received": "1", "rejected_connections": "1",
		"total_commands_processed": "2",
	} {
		if v[name] != want {
			t.Errorf("%s:%s, want %s", name, v[name], want)
		}
	}
	if !strings.HasPrefix(v["cmdstat_get"], "calls=1,") {
		t.Errorf("cmdstat_get:%s", v["cmdstat_get"])
	}
	doString(y, b, "CONFIG", "SET", "latency-tracking", "no")
	if got := doString(y, b, "INFO", "latencystats"); strings.Contains(got, "get") {
		t.Errorf("latency-tracking is off: %q", got)
	}
}

func TestManyCommandsInOneRound(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	ping := [][]byte{[]byte("PING")}
	x.BeginRound()
	for range 3*maxSamples + 5 {
		x.Do(c, ping)
	}
	c.Out = c.Out[:0]
	_, v := infoFields(doString(x, c, "INFO", "commandstats"))
	if !strings.HasPrefix(v["cmdstat_ping"], "calls=12293,") {
		t.Errorf("cmdstat_ping:%s", v["cmdstat_ping"])
	}
}

func TestCommandsDoNotAllocate(t *testing.T) {
	w := newWorld(t)
	x, c := w.e.NewCtx(), w.connect()
	doString(x, c, "SET", "k", "v")
	for _, cmd := range []string{"PING", "GET k", "get k", "SET k v", "DBSIZE", "ECHO x", "SELECT 0", "CLIENT ID"} {
		var args [][]byte
		for _, f := range strings.Fields(cmd) {
			args = append(args, []byte(f))
		}
		if n := testing.AllocsPerRun(200, func() {
			x.BeginRound()
			x.Do(c, args)
			x.EndRound()
			c.Out = c.Out[:0]
		}); n != 0 {
			t.Errorf("%s allocates %v times", cmd, n)
		}
	}
}
