//go:build linux

package load

import (
	"strings"
	"testing"
)

func TestNextReply(t *testing.T) {
	const stream = "+OK\r\n-ERR no\r\n:-12\r\n$5\r\nva\r\nl\r\n$-1\r\n$0\r\n\r\n*3\r\n$1\r\na\r\n$-1\r\n:7\r\n*0\r\n*-1\r\n*2\r\n*1\r\n+x\r\n+y\r\n"
	var whole []string
	for rest := stream; rest != ""; {
		// A reply that is cut off anywhere is not complete, and no nonsense.
		n, resp, err := nextReply([]byte(rest))
		if err != nil || n == 0 {
			t.Fatalf("%q: %d, %v", rest, n, err)
		}
		for cut := range n {
			if n, _, err := nextReply([]byte(rest[:cut])); n != 0 || err != nil {
				t.Errorf("%q: %d, %v", rest[:cut], n, err)
			}
		}
		whole = append(whole, string(resp.Raw))
		rest = rest[n:]
	}
	if len(whole) != 10 || strings.Join(whole, "") != stream {
		t.Errorf("%d replies: %q", len(whole), whole)
	}
	for _, bad := range []string{
		"HTTP/1.1 200 OK\r\n", "\r\n", "+OK\n", ":\r\n", ":a1\r\n", ":-\r\n", "$x\r\n", "$3\r\nabcd\r\n",
		"$9223372036854775807\r\n", "$-9223372036854775808x\r\n", "$600000000\r\n", "*9223372036854775807\r\n",
		"*2\r\nhello", "*1\r\n$9223372036854775807\r\n", "*1\r\n*99999999\r\n", ":" + strings.Repeat("1", 40), "+" + strings.Repeat("x", maxLine),
		"_\r\n",
	} {
		if n, _, err := nextReply([]byte(bad)); err == nil || n != 0 {
			t.Errorf("%.40q: %d, %v", bad, n, err)
		}
	}
}

func FuzzNextReply(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n:7\r\n"))
	f.Add([]byte("$9223372036854775807\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, resp, err := nextReply(b)
		if n < 0 || n > len(b) || err != nil && n != 0 || n > 0 && string(resp.Raw) != string(b[:n]) {
			t.Errorf("%q: %d, %q, %v", b, n, resp.Raw, err)
		}
	})
}
