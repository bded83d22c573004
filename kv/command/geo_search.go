package command

import (
	"cmp"
	"slices"

	"kvd/kv"
)

// geoSearch is one of the commands that search around a position.
type geoSearch struct {
	search, noStore bool // GEOSEARCH…, …_RO
	shape           geoShape

	withDist, withHash, withCoord bool
	sort                          int // 1 ascending, -1 descending
	any                           bool
	count                         int64 // 0: all
	storeKey                      []byte
	storeDist                     bool

	fromMember, fromPoint, byRadius, byBox bool
}

// geoFound is a member that was found.
type geoFound struct {
	member   []byte
	score    float64
	point    geoPoint
	distance float64 // metres
}

func cmdGeoradius(x *Ctx)           { x.georadius(&geoSearch{}) }
func cmdGeoradiusRo(x *Ctx)         { x.georadius(&geoSearch{noStore: true}) }
func cmdGeoradiusbymember(x *Ctx)   { x.georadiusByMember(&geoSearch{}) }
func cmdGeoradiusbymemberRo(x *Ctx) { x.georadiusByMember(&geoSearch{noStore: true}) }

func cmdGeosearch(x *Ctx) { x.geosearch(&geoSearch{search: true}, 1) }
func cmdGeosearchstore(x *Ctx) {
	x.geosearch(&geoSearch{search: true, storeKey: x.Args[1]}, 2)
}

func (x *Ctx) georadius(g *geoSearch) {
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	var ok bool
	if g.shape.center, ok = x.parsePoint(x.Args[2], x.Args[3]); !ok {
		return
	}
	if x.parseRadius(&g.shape, x.Args[4], x.Args[5]) {
		x.searchGeo(z, g, x.Args[6:])
	}
}

// georadiusByMember is GEORADIUSBYMEMBER, whose radius is not looked at if there is no key.
func (x *Ctx) georadiusByMember(g *geoSearch) {
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	if z.Exists() && !(x.centerAt(g, z, x.Args[2]) && x.parseRadius(&g.shape, x.Args[3], x.Args[4])) {
		return
	}
	x.searchGeo(z, g, x.Args[5:])
}

// geosearch is GEOSEARCH and GEOSEARCHSTORE, whose source key stands at argument i.
func (x *Ctx) geosearch(g *geoSearch, i int) {
	z := &x.zset.Zset
	if x.readZset(z, x.Args[i]) {
		x.searchGeo(z, g, x.Args[i+1:])
	}
}

// centerAt makes the position of a member the center.
func (x *Ctx) centerAt(g *geoSearch, z *kv.Zset, member []byte) (ok bool) {
	score, ok := z.Score(member)
	if !ok {
		x.Err(errGeoMember)
		return false
	}
	g.shape.center = decodeGeo(score)
	return true
}

// searchGeo reads the options, searches and replies.
func (x *Ctx) searchGeo(z *kv.Zset, g *geoSearch, args [][]byte) {
	for len(args) > 0 {
		used := x.geoOption(z, g, args)
		if used == 0 {
			return
		}
		args = args[used:]
	}
	stored := geoStoreOption
	if g.search {
		stored = geoStoreCommand
	}
	name := cText(x.Args[0], len(x.Args[0]))
	switch {
	case g.storeKey != nil && (g.withDist || g.withHash || g.withCoord):
		x.Errf(errGeoStore, stored)
	case g.search && !g.fromMember && !g.fromPoint:
		x.Errf(errGeoFrom, name)
	case g.search && !g.byRadius && !g.byBox:
		x.Errf(errGeoBy, name)
	case g.any && g.count == 0:
		x.Err(errGeoAny)
	case !z.Exists():
		x.replyGeo(g, nil)
	default:
		x.replyGeo(g, g.find(x, z))
	}
}

// geoOption reads the option in front of args and returns how many of them it takes; 0 after an error.
func (x *Ctx) geoOption(z *kv.Zset, g *geoSearch, args [][]byte) (used int) {
	arg, more := option(args[0]), len(args)-1
	oldStore := !g.search && !g.noStore
	ok := true
	switch {
	case is(arg, "withdist"):
		g.withDist = true
	case is(arg, "withhash"):
		g.withHash = true
	case is(arg, "withcoord"):
		g.withCoord = true
	case is(arg, "any"):
		g.any = true
	case is(arg, "asc"):
		g.sort = 1
	case is(arg, "desc"):
		g.sort = -1
	case is(arg, "count") && more > 0:
		if g.count, ok = x.parseInt(args[1]); ok && g.count <= 0 {
			x.Err(errGeoCount)
			ok = false
		}
		used = 1
	case oldStore && more > 0 && (is(arg, "store") || is(arg, "storedist")):
		g.storeKey, g.storeDist = args[1], is(arg, "storedist")
		used = 1
	case g.search && g.storeKey != nil && is(arg, "storedist"):
		g.storeDist = true
	default:
		return x.geoShapeOption(z, g, args)
	}
	if !ok {
		return 0
	}
	return used + 1
}

// geoShapeOption is geoOption for what GEOSEARCH says of where to search.
func (x *Ctx) geoShapeOption(z *kv.Zset, g *geoSearch, args [][]byte) (used int) {
	arg, more := option(args[0]), len(args)-1
	ok := true
	switch {
	case !g.search:
		x.Err(errSyntax)
		return 0
	case more >= 1 && !g.fromPoint && is(arg, "frommember"):
		if z.Exists() {
			ok = x.centerAt(g, z, args[1])
		}
		g.fromMember = true
		used = 2
	case more >= 2 && !g.fromMember && is(arg, "fromlonlat"):
		g.shape.center, ok = x.parsePoint(args[1], args[2])
		g.fromPoint = true
		used = 3
	case more >= 2 && !g.byBox && is(arg, "byradius"):
		ok = x.parseRadius(&g.shape, args[1], args[2])
		g.byRadius = true
		used = 3
	case more >= 3 && !g.byRadius && is(arg, "bybox"):
		ok = x.parseBox(&g.shape, args[1], args[2], args[3])
		g.byBox = true
		used = 4
	default:
		x.Err(errSyntax)
		return 0
	}
	if !ok {
		return 0
	}
	return used
}

// find returns the members in the shape, in the order of the reply.
func (g *geoSearch) find(x *Ctx, z *kv.Zset) (found []geoFound) {
	limit := int64(0)
	if g.any {
		limit = g.count
	}
	var members byteRoom
	full := func() bool { return limit > 0 && int64(len(found)) >= limit }
	cells := g.shape.cells()
	last := 0
	for i, c := range cells {
		// At the greatest distances neighbours are the same cell.
		if c.steps == 0 || last > 0 && c == cells[last] {
			continue
		}
		if full() {
			break
		}
		last = i
		lowest, highest := c.scores()
		from, to := z.ScoreRange(&kv.ScoreRange{Min: float64(lowest), Max: float64(highest), MaxEx: true})
		var e kv.ZsetElement
		for at := z.At(from); from < to && !full() && at.Next(&e); from++ {
			p := decodeGeo(e.Score)
			if d, ok := g.shape.contains(p); ok {
				found = append(found, geoFound{members.keep(e.Member), e.Score, p, d})
			}
		}
	}
	return g.order(found)
}

// order sorts what was found and cuts it off at COUNT, which without ANY means the nearest ones.
func (g *geoSearch) order(found []geoFound) []geoFound {
	n := len(found)
	if g.count > 0 {
		n = int(min(int64(n), g.count))
		if g.sort == 0 && !g.any {
			g.sort = 1
		}
	}
	compare := func(a, b *geoFound) int { return g.sort * cmp.Compare(a.distance, b.distance) }
	switch {
	case g.sort == 0:
	case n == len(found):
		slices.SortStableFunc(found, func(a, b geoFound) int { return compare(&a, &b) })
	default:
		sortFirst(found, n, compare)
	}
	return found[:n]
}

// replyGeo replies or stores what was found.
func (x *Ctx) replyGeo(g *geoSearch, found []geoFound) {
	if g.storeKey != nil {
		list := make([]kv.ZsetElement, len(found))
		for i := range found {
			list[i] = kv.ZsetElement{Member: found[i].member, Score: found[i].score}
			if g.storeDist {
				list[i].Score = found[i].distance / g.shape.unit
			}
		}
		x.storeZset(g.storeKey, list, int64(len(list)))
		return
	}
	n := 1
	for _, with := range [3]bool{g.withDist, g.withHash, g.withCoord} {
		if with {
			n++
		}
	}
	x.Array(len(found))
	for i := range found {
		f := &found[i]
		if n > 1 {
			x.Array(n)
		}
		x.Bulk(f.member)
		if g.withDist {
			x.distance(f.distance / g.shape.unit)
		}
		if g.withHash {
			x.Int(int64(truncate(f.score)))
		}
		if g.withCoord {
			x.position(f.point)
		}
	}
}
