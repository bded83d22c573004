package report

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"kvd/bench/internal/noise"
	"kvd/bench/internal/result"
)

// browser returns the path of Chromium, or skips.
func browser(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			return p
		}
	}
	if os.Getenv("KVD_REQUIRE_ORACLES") == "1" {
		t.Fatal("no chromium, which KVD_REQUIRE_ORACLES=1 asks for")
	}
	t.Skip("no chromium")
	return ""
}

// chromium runs the browser without a window on a file and returns its output. It is
// not what is tested here: it may fail or hang once.
func chromium(t *testing.T, file string, args ...string) (out []byte) {
	t.Helper()
	bin := browser(t)
	noise.Attempts(t, 2, func(t *noise.T) {
		var err error
		if out, err = tryChromium(t, bin, file, args); err != nil {
			t.Error(err)
		}
	})
	return out
}

func tryChromium(t *noise.T, bin, file string, args []string) ([]byte, error) {
	// Not t.TempDir: processes of the browser may still write there.
	data, err := os.MkdirTemp("", "kvd-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(data) })
	ctx, cancel := context.WithTimeout(t.Context(), 3*noise.Patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, append([]string{
		"--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update",
		"--disable-sync", "--hide-scrollbars", "--disable-dev-shm-usage", "--user-data-dir=" + data,
	}, append(args, "file://"+file)...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("chromium: %w\n%s", err, clip(errs.String(), 2000))
	}
	return out.Bytes(), nil
}

// shot returns a screenshot of a page. KVD_SCREENSHOTS names a directory in which
// it stays.
func shot(t *testing.T, file, name string, width, height int, dark bool) image.Image {
	t.Helper()
	dir := os.Getenv("KVD_SCREENSHOTS")
	if dir == "" {
		dir = t.TempDir()
	}
	out := filepath.Join(dir, name+".png")
	args := []string{"--screenshot=" + out, fmt.Sprintf("--window-size=%d,%d", width, height)}
	scheme := "1"
	if dark {
		scheme = "0"
	}
	chromium(t, file, append(args, "--blink-settings=preferredColorScheme="+scheme)...)
	f, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	img, err := png.Decode(f)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// brightness returns the mean brightness of a picture, 0 to 1, and how many of a
// sample of its pixels differ from its corner.
func brightness(img image.Image) (mean float64, drawn int) {
	b := img.Bounds()
	corner := img.At(b.Min.X, b.Min.Y)
	n := 0
	for y := b.Min.Y; y < b.Max.Y; y += 3 {
		for x := b.Min.X; x < b.Max.X; x += 3 {
			r, g, bl, _ := img.At(x, y).RGBA()
			mean += float64(r+g+bl) / 3 / 0xffff
			n++
			if img.At(x, y) != corner {
				drawn++
			}
		}
	}
	return mean / float64(n), drawn
}

// TestPageInABrowser looks at the page light, and dark on a phone.
func TestPageInABrowser(t *testing.T) {
	t.Parallel()
	browser(t)
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(pageOf(t, sharedRun())), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"light", 1000, 2400, false}, {"phone-dark", 390, 3000, true}} {
		img := shot(t, file, c.name, c.width, c.height, c.dark)
		if got := img.Bounds().Dx(); got != c.width {
			t.Errorf("%s: %d pixels wide, not %d", c.name, got, c.width)
		}
		mean, drawn := brightness(img)
		if drawn < 5000 {
			t.Errorf("%s: only %d pixels are drawn", c.name, drawn)
		}
		if c.dark && mean > 0.25 || !c.dark && mean < 0.8 {
			t.Errorf("%s: mean brightness %.2f", c.name, mean)
		}
	}
}

// measureScript puts into the page how wide it is, and which texts of the charts
// lie outside their chart or on each other.
const measureScript = `<script>
const out = {fit: innerWidth + ' ' + document.documentElement.scrollWidth, outside: [], over: []};
for (const svg of document.querySelectorAll('figure svg')) {
  const box = svg.getBoundingClientRect();
  if (!box.width) continue;
  const all = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
  all.forEach(([s, r], i) => {
    if (r.left < box.left - 1 || r.right > box.right + 1 || r.bottom > box.bottom + 2 || r.top < box.top - 2) out.outside.push(svg.querySelector('title').textContent + ': ' + s);
    for (const [o, q] of all.slice(i + 1)) {
      const w = Math.min(r.right, q.right) - Math.max(r.left, q.left), h = Math.min(r.bottom, q.bottom) - Math.max(r.top, q.top);
      if (w > 1 && h > 4) out.over.push(svg.querySelector('title').textContent + ': ' + s + ' / ' + o);
    }
  });
}
const pre = document.createElement('pre');
pre.id = 'measured';
pre.textContent = ['fit ' + out.fit, ...out.outside.map(s => 'outside ' + s), ...out.over.map(s => 'over ' + s), 'end'].join('\n');
document.body.replaceChildren(pre);
</script>`

// TestNothingOverflows measures in the browser: the page is no wider than the
// window, no text of a chart is cut or lies on another one.
func TestNothingOverflows(t *testing.T) {
	t.Parallel()
	browser(t)
	odd := oddRuns()
	frames := []struct {
		name  string
		run   *result.Run
		width int
	}{{"full", sharedRun(), 390}, {"full", sharedRun(), 1000}, {"long names", odd["long names"], 390}, {"eleven", odd["eleven"], 390}}
	// In frames, since a window may not become as narrow as a phone.
	var outer strings.Builder
	outer.WriteString("<!DOCTYPE html>")
	for _, f := range frames {
		inner := strings.Replace(pageOf(t, f.run), "</body>", measureScript+"</body>", 1)
		inner = strings.NewReplacer("&", "&amp;", `"`, "&quot;").Replace(inner)
		fmt.Fprintf(&outer, `<iframe width="%d" height="800" style="border:0" srcdoc="%s"></iframe>`+"\n", f.width, inner)
	}
	outer.WriteString(`<script>onload=()=>{document.body.textContent=[...document.querySelectorAll('iframe')].map(f=>f.contentDocument.getElementById('measured').textContent).join('\n')}</script>`)
	file := filepath.Join(t.TempDir(), "frames.html")
	if err := os.WriteFile(file, []byte(outer.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	dom := string(chromium(t, file, "--dump-dom", "--virtual-time-budget=1000", "--window-size=1200,900"))
	all := regexp.MustCompile(`(?s)fit (\d+) (\d+)\n(.*?)end`).FindAllStringSubmatch(dom, -1)
	if len(all) != len(frames) {
		t.Fatalf("%d of %d were measured: %s", len(all), len(frames), clip(dom, 300))
	}
	for i, f := range frames {
		m := all[i]
		if got, _ := strconv.Atoi(m[1]); got != f.width {
			t.Errorf("%s: the frame is %s wide, not %d", f.name, m[1], f.width)
		}
		if wide, _ := strconv.Atoi(m[2]); wide > f.width {
			t.Errorf("%s: the page is %d wide in a window of %d", f.name, wide, f.width)
		}
		if m[3] != "" {
			t.Errorf("%s at %d:\n%s", f.name, f.width, m[3])
		}
	}
}
