package command

import (
	"math"
	"strconv"

	"kvd/kv"
	"kvd/kv/resp"
)

// Error texts of the geo group.
const (
	errGeoPair      = "ERR invalid longitude,latitude pair %s,%s"
	errGeoUnit      = "ERR unsupported unit provided. please use M, KM, FT, MI"
	errGeoRadius    = "ERR need numeric radius"
	errGeoNegative  = "ERR radius cannot be negative"
	errGeoWidth     = "ERR need numeric width"
	errGeoHeight    = "ERR need numeric height"
	errGeoBox       = "ERR height or width cannot be negative"
	errGeoMember    = "ERR could not decode requested zset member"
	errGeoCount     = "ERR COUNT must be > 0"
	errGeoAny       = "ERR the ANY argument requires COUNT argument"
	errGeoStore     = "ERR %s is not compatible with WITHDIST, WITHHASH and WITHCOORD options"
	errGeoFrom      = "ERR exactly one of FROMMEMBER or FROMLONLAT can be specified for %s"
	errGeoBy        = "ERR exactly one of BYRADIUS and BYBOX can be specified for %s"
	geoStoreOption  = "STORE option in GEORADIUS"
	geoStoreCommand = "GEOSEARCHSTORE"
)

// parsePoint reads a longitude and a latitude, or replies the error.
func (x *Ctx) parsePoint(lon, lat []byte) (p geoPoint, ok bool) {
	if p.lon, ok = x.parseFloat(lon, errNotFloat); !ok {
		return p, false
	}
	if p.lat, ok = x.parseFloat(lat, errNotFloat); !ok {
		return p, false
	}
	if !p.valid() {
		x.Errf(errGeoPair, sixDigits(p.lon), sixDigits(p.lat))
		return p, false
	}
	return p, true
}

// sixDigits writes a double as C's %f does.
func sixDigits(f float64) string {
	if math.IsInf(f, 0) {
		return string(resp.AppendFloat(nil, f))
	}
	return strconv.FormatFloat(f, 'f', 6, 64)
}

// parseUnit returns the metres of a unit, or replies the error.
func (x *Ctx) parseUnit(arg []byte) (metres float64, ok bool) {
	switch unit := option(arg); {
	case is(unit, "m"):
		return 1, true
	case is(unit, "km"):
		return 1000, true
	case is(unit, "ft"):
		return 0.3048, true
	case is(unit, "mi"):
		return 1609.34, true
	}
	x.Err(errGeoUnit)
	return 0, false
}

// parseRadius reads a radius and its unit.
func (x *Ctx) parseRadius(s *geoShape, radius, unit []byte) (ok bool) {
	if s.radius, ok = x.parseFloat(radius, errGeoRadius); !ok {
		return false
	}
	if s.radius < 0 {
		x.Err(errGeoNegative)
		return false
	}
	s.unit, ok = x.parseUnit(unit)
	return ok
}

// parseBox reads the width and the height of a box and their unit.
func (x *Ctx) parseBox(s *geoShape, width, height, unit []byte) (ok bool) {
	if s.width, ok = x.parseFloat(width, errGeoWidth); !ok {
		return false
	}
	if s.height, ok = x.parseFloat(height, errGeoHeight); !ok {
		return false
	}
	if s.width < 0 || s.height < 0 {
		x.Err(errGeoBox)
		return false
	}
	s.box = true
	s.unit, ok = x.parseUnit(unit)
	return ok
}

// position replies the longitude and the latitude with 17 digits behind the point, less zeros.
func (x *Ctx) position(p geoPoint) {
	x.Array(2)
	for _, f := range [2]float64{p.lon, p.lat} {
		var buf [32]byte
		text := strconv.AppendFloat(buf[:0], f, 'f', 17, 64)
		for text[len(text)-1] == '0' { // stops at the point
			text = text[:len(text)-1]
		}
		if text[len(text)-1] == '.' {
			text = text[:len(text)-1]
		}
		if string(text) == "-0" {
			text = text[1:]
		}
		if !x.resp3() {
			x.Bulk(text)
			continue
		}
		x.Client.Out = append(append(append(x.Client.Out, ','), text...), '\r', '\n')
	}
}

// distance replies a distance with four digits behind the point.
func (x *Ctx) distance(d float64) {
	var buf [32]byte
	text := strconv.AppendInt(buf[:0], int64(math.RoundToEven(d*10000)), 10)
	for len(text) < 5 {
		text = append(text, 0)
		copy(text[1:], text)
		text[0] = '0'
	}
	point := len(text) - 4
	text = append(text, 0)
	copy(text[point+1:], text[point:])
	text[point] = '.'
	x.Bulk(text)
}

func cmdGeoadd(x *Ctx) {
	var o zaddOptions
	at := 2
options:
	for ; at < len(x.Args); at++ {
		switch arg := option(x.Args[at]); {
		case is(arg, "nx"):
			o.how |= kv.ZaddNX
		case is(arg, "xx"):
			o.how |= kv.ZaddXX
		case is(arg, "ch"):
			o.ch = true
		default:
			break options
		}
	}
	list := x.Args[at:]
	if len(list)%3 != 0 || o.how == kv.ZaddNX|kv.ZaddXX {
		x.Err(errSyntax)
		return
	}
	scores := make([]float64, 0, len(list)/3)
	for i := 0; i < len(list); i += 3 {
		p, ok := x.parsePoint(list[i], list[i+1])
		if !ok {
			return
		}
		scores = append(scores, encodeGeo(p))
	}
	if len(scores) == 0 {
		x.Err(errSyntax)
		return
	}
	x.zaddPairs(o, scores, func(i int) []byte { return list[i*3+2] })
}

func cmdGeodist(x *Ctx) {
	unit, ok := 1.0, true
	switch {
	case len(x.Args) > 5:
		x.Err(errSyntax)
		return
	case len(x.Args) == 5:
		if unit, ok = x.parseUnit(x.Args[4]); !ok {
			return
		}
	}
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	a, okA := z.Score(x.Args[2])
	b, okB := z.Score(x.Args[3])
	if !okA || !okB {
		x.Null()
		return
	}
	x.distance(geoDistance(decodeGeo(a), decodeGeo(b)) / unit)
}

func cmdGeohash(x *Ctx) {
	x.positions(x.Null, func(p geoPoint) {
		text := geohashText(p)
		x.Bulk(text[:])
	})
}

func cmdGeopos(x *Ctx) { x.positions(x.NullArray, x.position) }

// positions replies something for each member that is named, or null.
func (x *Ctx) positions(null func(), reply func(p geoPoint)) {
	z := &x.zset.Zset
	if !x.readZset(z, x.Args[1]) {
		return
	}
	x.Array(len(x.Args) - 2)
	for _, member := range x.Args[2:] {
		if score, ok := z.Score(member); ok {
			reply(decodeGeo(score))
		} else {
			null()
		}
	}
}

// georadiusKeys returns the keys of GEORADIUS and GEORADIUSBYMEMBER.
func georadiusKeys(args [][]byte) [][]byte {
	if len(args) < 2 {
		return nil
	}
	keys := [][]byte{args[1]}
	for i := 5; i+1 < len(args); i++ {
		if arg := option(args[i]); is(arg, "store") || is(arg, "storedist") {
			keys = append(keys, args[i+1])
		}
	}
	return keys
}
