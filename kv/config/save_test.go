package config

import (
	"maps"
	"os"
	"strings"
	"testing"
)

// TestSaveDirectives: the directives of kvd's own saves, which no oracle knows.
func TestSaveDirectives(t *testing.T) {
	const failed = "ERR CONFIG SET failed (possibly related to argument '"
	for _, tt := range []struct{ name, def, value, shown, err string }{
		{"bgsave-default-method", "auto", "FORKLESS", "thread", ""},
		{"bgsave-default-method", "auto", "AUTO", "auto", ""},
		{"bgsave-default-method", "auto", "copy", "", "argument(s) must be one of the following: fork, thread, forkless, auto"},
		{"save-verify", "yes", "FULL", "full", ""},
		{"save-verify", "yes", "maybe", "", "argument(s) must be one of the following: no, yes, full"},
		{"save-threads", "0", "128", "128", ""},
		{"save-threads", "0", "129", "", "argument must be between 0 and 128 inclusive"},
		{"save-rate-limit", "0", "10mb", "10485760", ""},
		{"save-rate-limit", "0", "10%", "", "argument must be a memory value"},
		{"save-memory-limit", "25%", "100mb", "104857600", ""},
		{"save-memory-limit", "25%", "3%", "3%", ""},
		{"save-memory-limit", "25%", "0%", "0", ""},
		{"save-memory-limit", "25%", "1001%", "", "percentage argument must be less or equal to 1000"},
		{"save-memory-limit", "25%", "-1", "", "argument must be a memory or percent value"},
		{"save-overrun", "abort", "Throttle", "throttle", ""},
		{"save-overrun", "abort", "wait", "", "argument(s) must be one of the following: abort, throttle"},
		{"save-keep", "0", "100000", "100000", ""},
		{"save-keep", "0", "100001", "", "argument must be between 0 and 100000 inclusive"},
		{"save-hook-timeout", "60", "1", "1", ""},
		{"save-hook-timeout", "60", "0", "", "argument must be between 1 and 2147483647 inclusive"},
		{"fork-write-policy", "values", "path-copy", "path-copy", ""},
		{"fork-write-policy", "values", "path", "", "argument(s) must be one of the following: values, in-place, path-copy"},
		{"save-hook", "", "/bin/sh -c id", "", "can't set immutable config"},
		{"save-cron", "", "*/5 3 * * 1-5", "*/5 3 * * 1-5", ""},
		{"save-cron", "", "@every 90m", "@every 90m", ""},
		{"save-cron", "", "CRON_TZ=UTC 0 3 * * *", "CRON_TZ=UTC 0 3 * * *", ""},
		{"save-cron", "", "0 3 * *", "", "Invalid save-cron: expected exactly 5 fields, found 4: [0 3 * *]"},
		{"save-cron", "", "0 25 * * *", "", "Invalid save-cron: end of range (25) above maximum (23): 25"},
		{"save-cron", "", "a\nb * * * *", "", "Invalid save-cron: expected exactly 5 fields, found 6: [a b * * * *]"},
		{"save-cron", "", "0 0 30 2 *", "", "Invalid save-cron: no such time ever comes"},
		{"save-cron", "", "TZ=UTC", "", "Invalid save-cron: a time zone must be followed by a schedule"},
		{"save-cron", "", " ", "", "Invalid save-cron: expected exactly 5 fields, found 0: []"},
	} {
		c := New()
		if got := c.String(tt.name); got != tt.def {
			t.Errorf("%s is %q by default", tt.name, got)
		}
		err := c.Set([]Pair{{tt.name, tt.value}})
		switch {
		case tt.err == "" && (err != nil || c.String(tt.name) != tt.shown):
			t.Errorf("%s %q: %v, is %q", tt.name, tt.value, err, c.String(tt.name))
		case tt.err != "" && (err == nil || err.Error() != failed+tt.name+"') - "+tt.err):
			t.Errorf("%s %q: %v", tt.name, tt.value, err)
		}
		if class, _ := ClassOf(tt.name); class != Honoured {
			t.Errorf("%s is %v", tt.name, class)
		}
	}
	c := mustLoad(t, "save-memory-limit 30%\nsave-hook '/usr/bin/logger \"it is saved\"'\nsave-cron \"0 3 * * *\"\nlatency-monitor-threshold 100\n")
	if got := c.Int("save-memory-limit"); got != -30 {
		t.Errorf("30%% is %d", got)
	}
	if got := c.String("save-hook"); got != `/usr/bin/logger "it is saved"` {
		t.Errorf("save-hook %q", got)
	}
	if _, err := load(t, "save-cron 0 3 * * *\n"); err == nil || !strings.Contains(err.Error(), "wrong number of arguments") {
		t.Errorf("without quotes: %v", err)
	}
	if class, _ := ClassOf("latency-monitor-threshold"); class != Honoured || len(c.Notices()) > 0 {
		t.Error("latency-monitor-threshold is not honoured")
	}
}

func TestRewriteOfSaveDirectives(t *testing.T) {
	c := mustLoad(t, "# mine\nsave-hook \"echo 'a b'\"\nsave-memory-limit 30%\n")
	want := map[string]string{
		"save-memory-limit": "134217728", "save-cron": "0 3 * * *", "save-verify": "full", "save-rate-limit": "1000", "save-keep": "7",
	}
	for name, value := range want {
		if err := c.Set([]Pair{{name, value}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Rewrite(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(c.File())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(b), "# mine\nsave-hook \"echo 'a b'\"\nsave-memory-limit 128mb\n") || !strings.Contains(string(b), "\nsave-cron \"0 3 * * *\"\n") {
		t.Errorf("rewritten:\n%s", b)
	}
	again := New()
	if err := again.Load(c.File(), nil, nil); err != nil {
		t.Fatal(err)
	}
	if a, b := pairsMap(c.Match([]string{"save-*"})), pairsMap(again.Match([]string{"save-*"})); !maps.Equal(a, b) {
		t.Errorf("%v\nread back %v", a, b)
	}
}
