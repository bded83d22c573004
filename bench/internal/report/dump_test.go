package report

import (
	"os"
	"testing"
)

func TestDump(t *testing.T) {
	dir := os.Getenv("REPORT_DUMP")
	if dir == "" {
		t.Skip()
	}
	f, err := os.Create(dir + "/full.html")
	if err != nil {
		t.Fatal(err)
	}
	if err := HTML(f, fullRun()); err != nil {
		t.Fatal(err)
	}
	f.Close()
	for name, r := range oddRuns() {
		f, _ := os.Create(dir + "/" + name + ".html")
		if err := HTML(f, r); err != nil {
			t.Error(name, err)
		}
		f.Close()
	}
	if err := WriteCharts(dir+"/charts", fullRun()); err != nil {
		t.Fatal(err)
	}
	Text(os.Stdout, fullRun())
	Markdown(os.Stdout, fullRun())
	for _, s := range Summary(fullRun()) {
		println(s)
	}
}
