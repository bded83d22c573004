//go:build linux

package server

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// blockScripts are what is easily done wrong. A line is a client and its commands, sent
// together and divided by " ; ". Behind "all" the client gets all its replies before anybody looks
// at them; behind "later" they may come in any step up to the next of this client, which is "all".
var blockScripts = []string{
	`several keys: the first that has something, later the first that gets something
0 RPUSH b 1
1 BLPOP a b c 0
1 BLPOP a b c 0
0 MULTI ; RPUSH c 2 ; RPUSH a 3 ; RPUSH b 4 ; EXEC
0 LRANGE a 0 -1 ; LRANGE b 0 -1 ; LRANGE c 0 -1`,
	`what EXEC has taken away again is not there
1 BLPOP a 0
2 BRPOP a 0
0 MULTI ; RPUSH a 1 2 3 ; DEL a ; EXEC
0 MULTI ; RPUSH a 1 2 3 ; LPOP a ; EXEC
0 EXISTS a`,
	`a value of another type is no matter, and an error for who comes then
1 BLPOP a 0
2 BZPOPMIN a 0
0 SET a x
3 BLPOP a 0 ; PING
0 DEL a
0 SADD a x
0 DEL a
0 MULTI ; ZADD a 1 x ; DEL a ; RPUSH a y ; EXEC
0 DEL a
0 ZADD a 5 m 3 n`,
	`a chain of moves
1 BLMOVE a b LEFT RIGHT 0
2 BLMOVE b c RIGHT LEFT 0
3 BRPOPLPUSH c d 0
4 BLPOP d 0
0 RPUSH a v
0 EXISTS a b c d
1 BLMOVE a a LEFT RIGHT 0
0 RPUSH a 1 2
0 LRANGE a 0 -1`,
	`a ring of moves
1 BLMOVE a b LEFT RIGHT 0
2 BLMOVE b a LEFT RIGHT 0
3 BLPOP a 0
0 MULTI ; RPUSH b 1 ; RPUSH a 2 ; EXEC
0 LRANGE a 0 -1 ; LRANGE b 0 -1`,
	`a move comes before what EXEC has written behind it
1 BLMOVE a b LEFT RIGHT 0
2 BLMPOP 0 1 b LEFT COUNT 10
3 BLMOVE c d LEFT RIGHT 0
4 BLPOP c e 0
0 MULTI ; RPUSH a 1 ; RPUSH b 2 ; RPUSH c 3 4 ; RPUSH e 5 ; EXEC
0 LRANGE b 0 -1 ; LRANGE c 0 -1 ; LRANGE d 0 -1 ; LRANGE e 0 -1`,
	`a move to a key of another type
1 BLMOVE a str LEFT RIGHT 0
2 BLPOP a 0
0 SET str x
0 RPUSH a 1
0 EXISTS a
1 BLMOVE none str LEFT RIGHT 0.01 ; all`,
	`other commands than pushes
1 BLPOP a 0
2 BLPOP a 0
3 BRPOP a 0
4 BLMPOP 0 2 x a LEFT COUNT 10
0 RPUSH s 3 1 2 ; COPY s a
0 RPUSH t x ; RENAME t a
0 RPUSH t y ; RENAMENX t a
0 SORT s STORE a
0 EXISTS a`,
	`other databases
1 BLPOP a 0
2 SELECT 1 ; BLPOP a 0
3 SELECT 1 ; BLPOP a 0
0 SELECT 1 ; RPUSH b 1 ; COPY b a DB 0
0 SELECT 0 ; RPUSH a 2 ; MOVE a 1
4 BLPOP a 0
0 SELECT 2 ; RPUSH a 3 ; SWAPDB 2 0
0 RPUSH a 4 ; SWAPDB 2 1
0 SELECT 2 ; EXISTS a`,
	`groups that go away
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
2 XREAD BLOCK 0 STREAMS s $
0 XGROUP DESTROY s g
0 XGROUP CREATE s g $
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 DEL s
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 SET s x
0 DEL s
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 RENAME s t
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 FLUSHALL
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 SWAPDB 0 1
0 FLUSHALL
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
1 later
0 PEXPIRE s 20
1 all
0 XGROUP CREATE s g $ MKSTREAM
1 XREADGROUP GROUP g c1 BLOCK 0 STREAMS s >
0 EXPIRE s -1
0 XADD s 1-1 a b`,
	`streams
1 XREAD BLOCK 0 STREAMS s t $ $
2 XREAD BLOCK 0 STREAMS s 5-5
3 XREAD COUNT 1 BLOCK 0 STREAMS s $
0 XADD s 4-0 a b
0 XADD s 5-5 a b
0 MULTI ; XADD s 6-0 a b ; XADD s 7-0 a b ; XADD t 1-1 a b ; EXEC
1 XREAD BLOCK 10 STREAMS s $ ; all`,
	`inside EXEC nobody waits
1 MULTI ; BLPOP a 0 ; BLMOVE a b LEFT LEFT 0 ; BRPOPLPUSH a b 0 ; BLMPOP 0 1 a LEFT ; BZPOPMIN a 0 ; BZMPOP 0 1 a MIN ; XREAD BLOCK 0 STREAMS a $ ; EXEC
0 RPUSH a 1`,
	`what comes behind
1 BLPOP a 0 ; MULTI ; PING ; EXEC ; BLPOP a 0 ; RPUSH b 1
0 RPUSH a 1
0 EXISTS b
0 RPUSH a 2
0 EXISTS b
2 CLIENT REPLY SKIP ; BLPOP a 0.01 ; PING ; all
3 BLPOP a 0 ; RESET ; PING
0 CLIENT UNBLOCK #3
0 CLIENT UNBLOCK #3 ERROR
0 CLIENT UNBLOCK 99999 TIMEOUT ; CLIENT UNBLOCK #0 ; CLIENT UNBLOCK x ; CLIENT UNBLOCK 1 x`,
	`protocol 3
1 HELLO 3 ; BLPOP a 0.01 ; BLMOVE a b LEFT RIGHT 0.01 ; XREAD BLOCK 1 STREAMS s $ ; all
1 BZPOPMAX z 0
0 ZADD z 1.5 m
1 XREAD BLOCK 0 STREAMS s $
0 XADD s 1-1 a b
1 MULTI ; BLPOP a 0 ; BLMOVE a b LEFT RIGHT 0 ; EXEC`,
	`errors
1 BLPOP a x ; BLPOP a -1 ; BLPOP a nan ; BLPOP a inf ; BLPOP a 1e400 ; BLPOP a 9223372036854776 ; BRPOPLPUSH a b -0.5 ; BLMOVE a b UP DOWN x ; BLMPOP x 1 a LEFT ; BLMPOP -1 1 a LEFT ; BLMPOP 0 0 a LEFT
2 BLPOP a -0.0001
3 BLPOP a 9223372036854775
4 BLPOP a 0x10
0 RPUSH a 1 2 3`,
	`a pause does not hold back timeouts, and who came during it is served
1 BLPOP a 0
2 BLPOP b 0.3 ; later
0 CLIENT PAUSE 1000000 WRITE
3 PING
4 BLPOP c 0
2 all
0 CLIENT UNPAUSE
0 RPUSH a 1 ; RPUSH c 1`,
}

// clientIDs are in the replies to HELLO.
var clientIDs = regexp.MustCompile(`id\\r\\n:[0-9]+`)

// TestBlockingScripts runs each script with both servers.
func TestBlockingScripts(t *testing.T) {
	redis := startRedis(t)
	path := filepath.Join(t.TempDir(), "kvd.sock")
	s := startServer(t, "--io-threads", "2", "--unixsocket", path)
	for _, script := range blockScripts {
		name, lines, _ := strings.Cut(script, "\n")
		t.Run(name, func(t *testing.T) {
			ours, theirs := newParty(t, path, func() { s.Hold()() }, 5), newParty(t, redis.path, nil, 5)
			for _, line := range strings.Split(lines, "\n") {
				step := parseStep(t, line)
				if a, b := clientIDs.ReplaceAllString(ours.run(step), ""), clientIDs.ReplaceAllString(theirs.run(step), ""); a != b {
					t.Errorf("%s\n kvd   %s\n redis %s", line, a, b)
				}
			}
			ours.close()
			theirs.close()
		})
	}
}

func parseStep(t *testing.T, line string) *blockStep {
	step := &blockStep{kills: -1}
	if _, err := fmt.Sscan(line, &step.client); err != nil {
		t.Fatal(line)
	}
	for _, cmd := range strings.Split(line[2:], " ; ") {
		switch cmd {
		case "all":
			step.all = true
		case "later":
			step.later = true
		default:
			step.commands = append(step.commands, strings.Fields(cmd))
		}
	}
	if len(step.commands) > 0 && step.commands[0][0] == "CLIENT" && step.commands[0][1] == "REPLY" {
		step.silent = 2 // SKIP and the command behind it
	}
	return step
}
