package command

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"kvd/snapshot"
)

func TestHashes(t *testing.T) {
	script(t, `
		HSET
		HSET h
		HSET h a
		HSET h a 1 b
		HMSET h a 1 b
		HMSET h a
		HMSET h a 1 b 2
		HSET h a 1 b 2 c 3
		HSET h a 5
		HSETNX h a 6
		HSETNX h d 6
		HGET h a
		HGET h nosuch
		HGET nokey a
		HMGET h a nosuch d
		HMGET nokey a b
		HGETALL h
		HGETALL nokey
		HKEYS h
		HKEYS nokey
		HVALS h
		HVALS nokey
		HLEN h
		HLEN nokey
		HSTRLEN h a
		HSTRLEN h nosuch
		HSTRLEN nokey a
		HEXISTS h a
		HEXISTS h nosuch
		HEXISTS nokey a
		HSET h "" empty
		HGET h ""
		HINCRBY h a 3
		HINCRBY h new -4
		HINCRBY h a x
		HINCRBY h a 9223372036854775807
		HINCRBY h a -9223372036854775808
		HSET h text abc
		HINCRBY h text 1
		HSET h big 9223372036854775807
		HINCRBY h big 1
		HINCRBYFLOAT h a 0.1
		HINCRBYFLOAT h a 5.0e3
		HINCRBYFLOAT h text 1
		HINCRBYFLOAT h a x
		HINCRBYFLOAT h a inf
		HINCRBYFLOAT h a nan
		HINCRBYFLOAT h a -infinity
		HINCRBYFLOAT h huge 1e4932
		HINCRBYFLOAT h huge 1e4932
		HINCRBYFLOAT h neu 1e-20
		HINCRBYFLOAT h neu 0x10
		HDEL h a b nosuch
		HDEL h
		HDEL nokey a
		HRANDFIELD nokey
		HRANDFIELD nokey 5
		HRANDFIELD nokey -5 WITHVALUES
		HRANDFIELD h 0
		HRANDFIELD h x
		HRANDFIELD h 1 foo
		HRANDFIELD h 1 WITHVALUES foo
		HRANDFIELD h 9223372036854775808
		HRANDFIELD h -9223372036854775808
		HRANDFIELD h 4611686018427387904 WITHVALUES
		HRANDFIELD h -4611686018427387904 WITHVALUES
		DEL h
		HSET h only 1
		HRANDFIELD h
		HRANDFIELD h -3
		HRANDFIELD h -2 withvalues
		HRANDFIELD h 3 WithValues
		HSCAN h 0
		HSCAN h
		HSCAN h x
		HSCAN h 5
		HSCAN h 0 MATCH o*
		HSCAN h 0 MATCH x*
		HSCAN h 0 COUNT 0
		HSCAN h 0 COUNT x
		HSCAN h 0 COUNT
		HSCAN h 0 TYPE hash
		HSCAN nokey 0 COUNT 0
		HSCAN nokey x
		HDEL h only
		EXISTS h
		SET s x
		HSET s a 1
		HSET s a
		HGET s a
		HDEL s a
		HINCRBY s a x
		HINCRBY s a 1
		HINCRBYFLOAT s a x
		HINCRBYFLOAT s a 1
		HSCAN s 0
		HSCAN s 0 foo
		HSCAN s x
		HRANDFIELD s
		HRANDFIELD s 1 foo
		HGETALL s
		HSTRLEN s a
		HLEN s
	`)
}

// asked sends commands to kvd alone; each line is a command, " => ", and the reply as parseReply
// shows it.
// "pass 20" moves the world's clock by so many milliseconds.
func asked(t *testing.T, p *pair, text string) {
	t.Helper()
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if milli, ok := strings.CutPrefix(line, "pass "); ok {
			n, err := strconv.ParseInt(milli, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			p.world.clock.Add(n)
			continue
		}
		cmd, want, _ := strings.Cut(line, " => ")
		v, _ := parseReply(p.ours(strings.Fields(cmd)...))
		if got := fmt.Sprint(v); got != want {
			t.Errorf("%s\n got  %s\n want %s", cmd, got, want)
		}
	}
}

// hashTwins runs a script on a hash in one block and on one of trees.
func hashTwins(t *testing.T, text string) {
	t.Helper()
	for _, limit := range []string{"512", "0"} {
		p := alone(newWorldAt(t, stopped(), "--hash-max-listpack-entries", limit))
		asked(t, p, text)
	}
}

// TestFieldExpiry has the replies that Redis 7.4 documents.
func TestFieldExpiry(t *testing.T) {
	far := strconv.FormatInt(time.Now().Unix()+100_000, 10)
	hashTwins(t, `
		HSET h a 1 b 2 c 3 d 4 => :4
		HTTL h FIELDS 2 a nosuch => [:-1 :-2]
		HTTL nokey FIELDS 2 a b => [:-2 :-2]
		HEXPIRE h 100 FIELDS 3 a b nosuch => [:1 :1 :-2]
		HTTL h FIELDS 3 a b c => [:100 :100 :-1]
		HEXPIRE h 200 NX FIELDS 2 a c => [:0 :1]
		HEXPIRE h 150 XX FIELDS 2 a d => [:1 :0]
		HEXPIRE h 99 GT FIELDS 3 a b d => [:0 :0 :0]
		HEXPIRE h 160 gt FIELDS 1 a => [:1]
		HEXPIRE h 170 LT FIELDS 3 a b d => [:0 :0 :1]
		HEXPIRE h 50 LT FIELDS 1 a => [:1]
		HTTL h FIELDS 4 a b c d => [:50 :100 :200 :170]
		HPERSIST h FIELDS 4 a b nosuch b => [:1 :1 :-2 :-1]
		HPERSIST nokey FIELDS 1 a => [:-2]
		HEXPIREAT h `+far+` FIELDS 1 a => [:1]
		HEXPIRETIME h FIELDS 2 a b => [:`+far+` :-1]
		HPEXPIRETIME h FIELDS 1 a => [:`+far+`000]
		HPEXPIREAT h `+far+`123 FIELDS 1 a => [:1]
		HPEXPIRETIME h FIELDS 1 a => [:`+far+`123]
		HMGET h a b c d => [1 2 3 4]
		HINCRBY h a 5 => :6
		HINCRBYFLOAT h a 0.5 => 6.5
		HPEXPIRETIME h FIELDS 1 a => [:`+far+`123]
		HSET h a 7 => :0
		HTTL h FIELDS 1 a => [:-1]
		HEXPIRE h 0 FIELDS 2 a a => [:2 :-2]
		HPEXPIREAT h 1 FIELDS 1 b => [:2]
		HEXISTS h b => :0
		HLEN h => :2
		HEXPIREAT h 0 FIELDS 2 c d => [:2 :2]
		EXISTS h => :0
		HPEXPIRE nokey 5 FIELDS 1 a => [:-2]
	`)
	p := alone(newWorld(t))
	asked(t, p, `
		SET s x => +OK
		HEXPIRE s x FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
		HTTL s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
		HEXPIRE h 1 FIELDS 1 => -ERR wrong number of arguments for 'hexpire' command
		HEXPIRE h x FIELDS 1 a => -ERR value is not an integer or out of range
		HEXPIRE h -1 FIELDS 1 a => -ERR invalid expire time, must be >= 0
		HEXPIRE h 70368744178 FIELDS 1 a => -ERR invalid expire time in 'hexpire' command
		HPEXPIREAT h 70368744177664 FIELDS 1 a => -ERR invalid expire time in 'hpexpireat' command
		HPEXPIREAT h 70368744177663 FIELDS 1 a => [:-2]
		HPEXPIRE h 9223372036854775807 FIELDS 1 a => -ERR invalid expire time in 'hpexpire' command
		HEXPIRE h 1 1 FIELDS a b => -ERR Mandatory argument FIELDS is missing or not at the right position
		HEXPIRE h 1 NX XX FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
		HEXPIRE h 1 FIELDS 0 a => -ERR Parameter `+"`numFields`"+` should be greater than 0
		HEXPIRE h 1 FIELDS x a => -ERR Parameter `+"`numFields`"+` should be greater than 0
		HEXPIRE h 1 FIELDS 2 a => -ERR The `+"`numfields`"+` parameter must match the number of arguments
		HTTL h FIELDS 2 a => -ERR The `+"`numfields`"+` parameter must match the number of arguments
		HTTL h FIELDS 0 a => -ERR Number of fields must be a positive integer
		HPERSIST h FIELD 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
		HTTL h FIELDS 1 => -ERR wrong number of arguments for 'httl' command
	`)
}

// TestFieldsExpire: what has expired is not seen by any command, and is gone at last.
func TestFieldsExpire(t *testing.T) {
	hashTwins(t, `
		DEBUG SET-ACTIVE-EXPIRE 0 => +OK
		HSET h a 1 b 2 c 3 => :3
		HPEXPIRE h 5 FIELDS 2 a b => [:1 :1]
		pass 20
		HGET h a => <nil>
		HMGET h a b c => [<nil> <nil> 3]
		HGETALL h => [c 3]
		HKEYS h => [c]
		HVALS h => [3]
		HLEN h => :1
		HEXISTS h a => :0
		HSTRLEN h a => :0
		HSCAN h 0 => [0 [c 3]]
		HRANDFIELD h 5 => [c]
		HRANDFIELD h -2 => [c c]
		HRANDFIELD h => c
		HTTL h FIELDS 1 a => [:-2]
		HEXPIRE h 10 FIELDS 1 a => [:-2]
		HPERSIST h FIELDS 1 a => [:-2]
		HGETEX h PERSIST FIELDS 1 a => [<nil>]
		HGETDEL h FIELDS 1 a => [<nil>]
		HDEL h a => :0
		HSETEX h FXX FIELDS 1 b 5 => :0
		HSETNX h b 5 => :1
		HTTL h FIELDS 1 b => [:-1]
		HINCRBY h a 5 => :5
		HTTL h FIELDS 1 a => [:-1]
		HLEN h => :3
		HPEXPIRE h 5 FIELDS 3 a b c => [:1 :1 :1]
		pass 20
		HLEN h => :0
		HGETALL h => []
		HRANDFIELD h => <nil>
		HRANDFIELD h -5 => []
		HSCAN h 0 => [0 []]
		EXISTS h => :1
		HSETEX h EXAT 1 FIELDS 1 z 1 => :1
	`)
	p := alone(newWorld(t))
	asked(t, p, `
		HSET h a 1 b 2 c 3 => :3
		HPEXPIRE h 5 FIELDS 3 a b c => [:1 :1 :1]
	`)
	await(t, "a hash whose fields have expired goes", func() bool { return p.ours("EXISTS", "h") == ":0\r\n" })
}

func TestHsetexHgetexHgetdel(t *testing.T) {
	hashTwins(t, `
		HSETEX h EX 100 FIELDS 2 a 1 b 2 => :1
		HTTL h FIELDS 2 a b => [:100 :100]
		HSETEX h FNX FIELDS 2 b 3 c 3 => :0
		HSETEX h FXX FIELDS 2 b 3 c 3 => :0
		HSETEX h FXX KEEPTTL FIELDS 2 a 5 b 6 => :1
		HTTL h FIELDS 2 a b => [:100 :100]
		HSETEX h FIELDS 1 a 7 => :1
		HTTL h FIELDS 2 a b => [:-1 :100]
		HSETEX h fnx PX 100000 FIELDS 1 c 3 => :1
		HTTL h FIELDS 1 c => [:100]
		HSETEX h NX FIELDS 1 d 1 => :0
		HSETEX nokey XX FIELDS 1 d 1 => :0
		HSETEX h XX FIELDS 1 d 1 => :1
		HSETEX h EXAT 1 FIELDS 1 d 2 => :1
		HEXISTS h d => :0
		HSETEX nokey PXAT 0 FIELDS 1 d 2 => :1
		EXISTS nokey => :0
		HSETEX h EX 1 PX 1 FIELDS 1 a 1 => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
		HSETEX h KEEPTTL EX 1 FIELDS 1 a 1 => -ERR Only one of EX, PX, EXAT, PXAT or KEEPTTL arguments can be specified
		HSETEX h FNX FXX FIELDS 1 a 1 => -ERR Only one of FXX or FNX arguments can be specified
		HSETEX h FOO FIELDS 1 a 1 => -ERR unknown argument: FOO
		HSETEX h EX x FIELDS 1 a 1 => -ERR value is not an integer or out of range
		HSETEX h EX -1 FIELDS 1 a 1 => -ERR invalid expire time, must be >= 0
		HSETEX h EX 99999999999999 FIELDS 1 a 1 => -ERR invalid expire time in 'hsetex' command
		HSETEX h FIELDS 0 a 1 => -ERR invalid number of fields
		HSETEX h FIELDS 0 a 1 b => -ERR invalid number of fields
		HSETEX h FIELDS x a 1 => -ERR invalid number of fields
		HSETEX h FIELDS 2 a 1 b => -ERR wrong number of arguments for 'hsetex' command
		HSETEX h FNX FIELDS 1 a => -ERR wrong number of arguments for 'hsetex' command
		HSETEX h FNX KEEPTTL NX a 1 EX => -ERR unknown argument: a
		HSETEX h FNX KEEPTTL NX XX FIELDS 1 a 1 => -ERR syntax error
		HGETEX h FIELDS 2 a nosuch => [7 <nil>]
		HGETEX nokey FIELDS 1 a => [<nil>]
		HGETEX h EX 50 FIELDS 2 a b => [7 6]
		HTTL h FIELDS 2 a b => [:50 :50]
		HGETEX h PERSIST FIELDS 1 a => [7]
		HTTL h FIELDS 2 a b => [:-1 :50]
		HGETEX h PXAT 1 FIELDS 1 a => [7]
		HEXISTS h a => :0
		HGETEX h FOO FIELDS 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
		HGETEX h EX 0 FIELDS 2 a => -ERR The `+"`numfields`"+` parameter must match the number of arguments
		HGETEX h EX -5 FIELDS 1 a => -ERR invalid expire time, must be >= 0
		HGETEX h FIELDS 0 a => -ERR Number of fields must be a positive integer
		HGETDEL h FIELDS 2 b b => [6 <nil>]
		HGETDEL h FIELDS 1 c => [3]
		EXISTS h => :0
		HGETDEL nokey FIELDS 2 a b => [<nil> <nil>]
		HGETDEL h FIELD 1 a => -ERR Mandatory argument FIELDS is missing or not at the right position
		HGETDEL h FIELDS a a => -ERR Number of fields must be a positive integer
		HGETDEL h FIELDS 2 a => -ERR The `+"`numfields`"+` parameter must match the number of arguments
		SET s x => +OK
		HGETDEL s x 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
		HGETEX s FIELDS 1 a => -WRONGTYPE Operation against a key holding the wrong kind of value
		HSETEX s FIELDS 1 a 1 => -WRONGTYPE Operation against a key holding the wrong kind of value
	`)
}

func TestHscanNovalues(t *testing.T) {
	hashTwins(t, `
		HSET h a 1 => :1
		HSCAN h 0 NOVALUES => [0 [a]]
		HSCAN h 0 MATCH a novalues COUNT 5 => [0 [a]]
		HSCAN h 0 NOVALUES NOVALUES => [0 [a]]
		HSCAN h 0 MATCH NOVALUES => [0 []]
	`)
}

// TestIfeq has the replies that Valkey 8.1 and 9.0 document.
func TestIfeq(t *testing.T) {
	long := strings.Repeat("x", 70_000)
	p := alone(newWorldAt(t, stopped()))
	p.ours("SET", "long", long)
	p.ours("SET", "long2", long+"y")
	asked(t, p, `
		SET k v IFEQ w => <nil>
		EXISTS k => :0
		SET k v => +OK
		SET k w IFEQ x => <nil>
		SET k w IFEQ v => +OK
		GET k => w
		SET k y IFEQ w GET => w
		SET k z IFEQ w GET => y
		GET k => y
		SET k z EX 100 IFEQ y => +OK
		TTL k => :100
		SET k z ifeq z KEEPTTL => +OK
		TTL k => :100
		SET k z IFEQ => -ERR syntax error
		SET k z IFEQ z NX => -ERR syntax error
		SET k z XX IFEQ z => -ERR syntax error
		SET n 12 => +OK
		SET n 13 IFEQ 12 => +OK
		HSET h a 1 => :1
		SET h z IFEQ z => -WRONGTYPE Operation against a key holding the wrong kind of value
		SET h z IFEQ z GET => -WRONGTYPE Operation against a key holding the wrong kind of value
		DELIFEQ k y => :0
		DELIFEQ k z => :1
		DELIFEQ k z => :0
		DELIFEQ h z => -WRONGTYPE Operation against a key holding the wrong kind of value
		DELIFEQ long `+long+`y => :0
		DELIFEQ long2 `+long+` => :0
		DELIFEQ long2 `+long+`z => :0
		DELIFEQ long2 `+long+`y => :1
		SET long 1 IFEQ `+long+` => +OK
		COMMAND GETKEYSANDFLAGS SET k v IFEQ x => [[k [+RW +access +update]]]
	`)
}

// TestFieldExpiryTravels: expiries of fields go wherever the hash does.
func TestFieldExpiryTravels(t *testing.T) {
	far := strconv.FormatInt(time.Now().Unix()+100_000, 10) + "123"
	for _, limit := range []string{"512", "0"} {
		p := alone(newWorldAt(t, stopped(), "--hash-max-listpack-entries", limit))
		asked(t, p, `
			HSET h a 1 b 2 => :2
			HPEXPIREAT h `+far+` FIELDS 1 a => [:1]
			COPY h copy => :1
			HPEXPIRETIME copy FIELDS 2 a b => [:`+far+` :-1]
			RENAME copy renamed => +OK
			HPEXPIRETIME renamed FIELDS 2 a b => [:`+far+` :-1]
			MOVE renamed 1 => :1
			SELECT 1 => +OK
			HPEXPIRETIME renamed FIELDS 2 a b => [:`+far+` :-1]
			SWAPDB 0 1 => +OK
			HPEXPIRETIME h FIELDS 2 a b => [:`+far+` :-1]
		`)
		dump := payload(p.ours("DUMP", "h"))
		if got := p.ours("RESTORE", "restored", "0", dump); got != "+OK\r\n" {
			t.Fatal("RESTORE: ", got)
		}
		asked(t, p, `
			HPEXPIRETIME restored FIELDS 2 a b => [:`+far+` :-1]
			HMGET restored a b => [1 2]
			HPEXPIRE restored 5 FIELDS 1 b => [:1]
			pass 20
			HGETALL restored => [a 1]
		`)
		asked(t, p, `
			SELECT 0 => +OK
			HSET saved a 1 b 2 => :2
			HPEXPIREAT saved `+far+` FIELDS 1 a => [:1]
			HPEXPIRE saved 200 FIELDS 1 b => [:1]
		`)
		path := filepath.Join(t.TempDir(), "dump.rdb")
		if _, err := snapshot.Save(t.Context(), p.world.e.Store, path, snapshot.Options{Engine: snapshot.Thread}); err != nil {
			t.Fatal(err)
		}
		w := newWorldAt(t, p.world.clock)
		if _, err := snapshot.Load(t.Context(), w.e.Store, path, snapshot.LoadOptions{}); err != nil {
			t.Fatal(err)
		}
		loaded := alone(w)
		asked(t, loaded, `
			HPEXPIRETIME saved FIELDS 1 a => [:`+far+`]
			pass 250
			HGETALL saved => [a 1]
		`)
		asked(t, p, "SELECT 1 => +OK")
		// What is restored expires too, even if nobody asks.
		if got := p.ours("HPEXPIRE", "h", "50", "FIELDS", "2", "a", "b"); got != "*2\r\n:1\r\n:1\r\n" {
			t.Fatal(got)
		}
		dump = payload(p.ours("DUMP", "h"))
		if got := p.ours("RESTORE", "soon", "0", dump); got != "+OK\r\n" {
			t.Fatal("RESTORE: ", got)
		}
		asked(t, p, "pass 60")
		await(t, "hashes whose fields have expired go", func() bool { return p.ours("EXISTS", "soon", "h") == ":0\r\n" })
	}
}
