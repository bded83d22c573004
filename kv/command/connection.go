package command

import (
	"crypto/subtle"
	"math"

	"kvd/kv/resp"
)

// RedisVersion is the version of Redis whose commands and replies kvd has:
// clients and tools decide by it what they may send.
const RedisVersion = "7.0.15"

func cmdAuth(x *Ctx) {
	user, password := []byte("default"), x.Args[1]
	switch {
	case len(x.Args) > 3:
		x.Err(errSyntax)
		return
	case len(x.Args) == 3:
		user, password = x.Args[1], x.Args[2]
	case !x.passwordSet():
		x.Err(errAuthNoPassword)
		return
	}
	if x.authenticate(user, password) {
		x.OK()
	}
}

// authenticate checks the credentials, marks the client or replies the error.
func (x *Ctx) authenticate(user, password []byte) bool {
	want := *x.state.password.Load()
	if string(user) != "default" || want != "" && subtle.ConstantTimeCompare(password, []byte(want)) == 0 {
		x.Err(errWrongPass)
		return false
	}
	x.Client.state &^= stUnauth
	return true
}

func cmdEcho(x *Ctx) { x.Bulk(x.Args[1]) }

func cmdPing(x *Ctx) {
	switch len(x.Args) {
	case 1:
		x.raw(resp.Pong)
	case 2:
		x.Bulk(x.Args[1])
	default:
		x.Err(sprintf(errArity, "ping"))
	}
}

func cmdQuit(x *Ctx) {
	x.OK()
	x.closeSoon()
}

// closeSoon ends the connection when the replies so far have been written.
func (x *Ctx) closeSoon() {
	x.Client.state |= stCloseAfter
	x.Client.setFlag(flagCloseAfter, true)
}

func cmdReset(x *Ctx) {
	c := x.Client
	c.setDB(0)
	c.setResp(2)
	x.discard()
	c.state &^= stReplyOff | stSkipNext | stUnauth
	if x.passwordSet() {
		c.state |= stUnauth
	}
	c.setName("")
	x.Simple("RESET")
}

func cmdSelect(x *Ctx) {
	n, ok := x.parseInt(x.Args[1])
	if !ok {
		return
	}
	if n != int64(int32(n)) {
		x.Errf(errIntRange, math.MinInt32, math.MaxInt32)
		return
	}
	if n < 0 || n >= int64(x.Store.Databases()) {
		x.Err(errDBRange)
		return
	}
	x.Client.setDB(int(n))
	x.OK()
}

func cmdHello(x *Ctx) {
	c := x.Client
	version := int64(0)
	if len(x.Args) > 1 {
		var ok bool
		if version, ok = resp.ParseInt(x.Args[1]); !ok {
			x.Err(errHelloInteger)
			return
		}
		if version < 2 || version > 3 {
			x.Err(errHelloProto)
			return
		}
	}
	for i := 2; i < len(x.Args); i++ {
		left := len(x.Args) - 1 - i
		switch {
		case is(x.Args[i], "auth") && left >= 2:
			if !x.authenticate(x.Args[i+1], x.Args[i+2]) {
				return
			}
			i += 2
		case is(x.Args[i], "setname") && left >= 1:
			if !x.setName(x.Args[i+1]) {
				return
			}
			i++
		default:
			x.Errf(errHelloSyntax, cText(x.Args[i], len(x.Args[i])))
			return
		}
	}
	if c.state&stUnauth != 0 && x.passwordSet() {
		x.Err(errHelloNoAuth)
		return
	}
	if version != 0 {
		c.setResp(uint8(version))
	}
	x.helloReply()
}

func (x *Ctx) helloReply() {
	x.Map(7)
	x.pair("server", "redis")
	x.pair("version", RedisVersion)
	x.BulkString("proto")
	x.Int(int64(x.Client.resp))
	x.BulkString("id")
	x.Int(x.Client.ID)
	x.pair("mode", "standalone")
	x.pair("role", "master")
	x.BulkString("modules")
	x.Array(0)
}

// pair replies two bulk strings.
func (x *Ctx) pair(k, v string) {
	x.BulkString(k)
	x.BulkString(v)
}
