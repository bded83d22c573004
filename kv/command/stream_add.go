package command

import "kvd/kv"

// addOptions are those of XADD and XTRIM.
type addOptions struct {
	id     kv.StreamID // if given
	given  bool
	auto   bool // only the time of id was given
	noMake bool
	trims  bool
	trim   kv.StreamTrim
}

// parseAdd reads the options of XADD, or of XTRIM; at is where XADD's ID stands. ok is
// false after an error.
func (x *Ctx) parseAdd(xadd bool) (o addOptions, at int, ok bool) {
	limited := false
	i := 2
next:
	for ; i < len(x.Args); i++ {
		arg, more := option(x.Args[i]), i+1 < len(x.Args)
		switch {
		case xadd && string(arg) == "*":
			break next
		case more && (is(arg, "maxlen") || is(arg, "minid")):
			if i, ok = x.parseTrim(&o, i); !ok {
				return o, 0, false
			}
		case more && is(arg, "limit"):
			i++
			if o.trim.Limit, ok = x.parseInt(x.Args[i]); !ok {
				return o, 0, false
			}
			if o.trim.Limit < 0 {
				x.Err(errTrimLimit)
				return o, 0, false
			}
			limited = true
		case xadd && is(arg, "nomkstream"):
			o.noMake = true
		case xadd:
			if o.id, o.auto, ok = parseStreamID(x.Args[i], newID, 0); !ok {
				x.Err(errStreamID)
				return o, 0, false
			}
			o.given = true
			break next
		default:
			x.Err(errSyntax)
			return o, 0, false
		}
	}
	return o, i, x.checkTrim(&o, xadd, limited)
}

// parseTrim reads MAXLEN or MINID at argument i and returns where its last argument stands.
func (x *Ctx) parseTrim(o *addOptions, i int) (last int, ok bool) {
	if o.trims {
		x.Err(errTrimBoth)
		return i, false
	}
	o.trims = true
	o.trim.ByID = is(option(x.Args[i]), "minid")
	i++
	if i+1 < len(x.Args) {
		switch string(option(x.Args[i])) {
		case "~":
			o.trim.Approx = true
			i++
		case "=":
			i++
		}
	}
	if o.trim.ByID {
		o.trim.MinID, ok = x.strictID(x.Args[i])
		return i, ok
	}
	if o.trim.MaxLen, ok = x.parseInt(x.Args[i]); ok && o.trim.MaxLen < 0 {
		x.Err(errTrimMaxlen)
		ok = false
	}
	return i, ok
}

// checkTrim looks at the options of a trim together, and sets a limit where there is none.
func (x *Ctx) checkTrim(o *addOptions, xadd, limited bool) bool {
	const (
		nodes    = 100 // of an approximate trim at a time
		unknown  = 10_000
		greatest = 1_000_000
	)
	switch {
	case o.trim.Limit != 0 && !o.trims:
		x.Err(errTrimLimitAlone)
		return false
	case !xadd && !o.trims:
		x.Err(errTrimNothing)
		return false
	case limited && !o.trim.Approx:
		x.Err(errTrimLimitExact)
		return false
	case !limited && o.trim.Approx:
		if o.trim.Limit = nodes * min(x.Store.Limits().StreamEntries, greatest); o.trim.Limit <= 0 {
			o.trim.Limit = unknown
		}
		o.trim.Limit = min(o.trim.Limit, greatest)
	}
	return true
}

func cmdXadd(x *Ctx) {
	o, at, ok := x.parseAdd(true)
	if !ok {
		return
	}
	if fields := len(x.Args) - at - 1; fields < 2 || fields%2 == 1 {
		x.Errf(errArity, x.Spec.Name)
		return
	}
	if o.given && !o.auto && o.id == (kv.StreamID{}) {
		x.Err(errXaddZero)
		return
	}
	var s kv.Stream
	if !x.openStream(&s, x.Args[1]) {
		return
	}
	if !s.Exists() && o.noMake {
		x.Null()
		return
	}
	id, problem := x.nextStreamID(&s, &o)
	if problem != "" {
		x.Err(problem)
		return
	}
	if err := s.Append(id, x.Args[at+1:]); err != nil {
		x.streamErr(err)
		return
	}
	mark := len(x.Client.Out)
	x.streamID(id)
	var err error
	if o.trims {
		_, _, err = s.Trim(o.trim)
	}
	if x.saveStream(&s, 1, mark, err) {
		x.keyReady(x.Client.db, x.Args[1])
	}
}

// nextStreamID returns the ID of the entry that XADD adds, or the error.
func (x *Ctx) nextStreamID(s *kv.Stream, o *addOptions) (id kv.StreamID, problem string) {
	if s.Last == kv.MaxStreamID {
		return id, errXaddExhausted
	}
	switch {
	case !o.given:
		if now := uint64(x.Tx.Now()); now > s.Last.Ms {
			return kv.StreamID{Ms: now}, ""
		}
		id, _ = s.Last.Next()
	case o.auto && o.id.Ms == s.Last.Ms:
		if id, _ = s.Last.Next(); id.Ms != s.Last.Ms {
			return id, errXaddTop
		}
	default:
		id = o.id
	}
	if id.Compare(s.Last) <= 0 {
		return id, errXaddTop
	}
	return id, ""
}

func cmdXtrim(x *Ctx) {
	o, _, ok := x.parseAdd(false)
	if !ok {
		return
	}
	var s kv.Stream
	if !x.openStream(&s, x.Args[1]) {
		return
	}
	if !s.Exists() {
		x.Int(0)
		return
	}
	n, changed, err := s.Trim(o.trim)
	mark := len(x.Client.Out)
	x.Int(n)
	if changed || err != nil {
		x.saveStream(&s, n, mark, err)
	}
}
