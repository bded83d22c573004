package command

import "math"

// The geohash arithmetic. Positions are kept as scores of a sorted set: 26 bits of latitude
// and 26 of longitude, interleaved, so that what is near each other mostly is so in the order
// of scores. All results are those of Redis to the last bit on amd64: products are rounded
// before they are added to (float64(…)), which a compiler may otherwise leave out.
const (
	geoSteps  = 26 // bits of each coordinate
	geoMinLon = -180.0
	geoMaxLon = 180.0
	geoMinLat = -85.05112878 // that of the Mercator projection
	geoMaxLat = 85.05112878

	earthRadius   = 6372797.560856 // metres
	mercatorLimit = 20037726.37    // metres
)

// geoRange is the range of a coordinate, in degrees.
type geoRange struct{ min, max float64 }

var (
	lonRange = geoRange{geoMinLon, geoMaxLon}
	latRange = geoRange{geoMinLat, geoMaxLat}
)

// geoPoint is a position in degrees.
type geoPoint struct{ lon, lat float64 }

func (p geoPoint) valid() bool {
	return p.lon >= geoMinLon && p.lon <= geoMaxLon && p.lat >= geoMinLat && p.lat <= geoMaxLat
}

// geoCell is a rectangle on the map: steps bits of each coordinate. The zero value is none.
type geoCell struct {
	bits  uint64
	steps uint
}

// geoArea is a cell in degrees.
type geoArea struct{ lon, lat geoRange }

// cellOf returns the cell that a position is in. The ranges are those that the bits divide.
func cellOf(p geoPoint, lon, lat geoRange, steps uint) geoCell {
	fixed := func(f float64, r geoRange) uint32 {
		return uint32((f - r.min) / (r.max - r.min) * float64(uint64(1)<<steps))
	}
	return geoCell{interleave(fixed(p.lat, lat), fixed(p.lon, lon)), steps}
}

// area returns the rectangle of a cell.
func (c geoCell) area() geoArea {
	lat, lon := deinterleave(c.bits)
	edge := func(i uint32, r geoRange) float64 {
		return r.min + float64(float64(i)/float64(uint64(1)<<c.steps)*(r.max-r.min))
	}
	return geoArea{
		lon: geoRange{edge(lon, lonRange), edge(lon+1, lonRange)},
		lat: geoRange{edge(lat, latRange), edge(lat+1, latRange)},
	}
}

// scores returns the scores of positions in a cell, from min to before max.
func (c geoCell) scores() (min, max uint64) {
	shift := geoSteps*2 - c.steps*2
	return c.bits << shift, (c.bits + 1) << shift
}

// encodeGeo returns the score of a position.
func encodeGeo(p geoPoint) float64 {
	return float64(cellOf(p, lonRange, latRange, geoSteps).bits)
}

// decodeGeo returns the middle of the cell that a score stands for. Any score gives a valid position.
func decodeGeo(score float64) geoPoint {
	a := geoCell{truncate(score), geoSteps}.area()
	return geoPoint{
		lon: min(max((a.lon.min+a.lon.max)/2, geoMinLon), geoMaxLon),
		lat: min(max((a.lat.min+a.lat.max)/2, geoMinLat), geoMaxLat),
	}
}

// truncate converts as C's (uint64_t) does on amd64, scores that are no positions included.
func truncate(f float64) uint64 {
	const half = 1 << 63
	switch {
	case f >= -half && f < half:
		return uint64(int64(f))
	case f >= half && f < 2*half:
		return uint64(int64(f-half)) ^ half
	case f >= half:
		return 0
	}
	return half
}

// interleave makes the bits of x the even ones, those of y the odd ones.
func interleave(x, y uint32) uint64 { return spread(x) | spread(y)<<1 }

func deinterleave(b uint64) (x, y uint32) { return gather(b), gather(b >> 1) }

// spread puts a zero in front of every bit.
func spread(x uint32) uint64 {
	b := uint64(x)
	b = (b | b<<16) & 0x0000FFFF0000FFFF
	b = (b | b<<8) & 0x00FF00FF00FF00FF
	b = (b | b<<4) & 0x0F0F0F0F0F0F0F0F
	b = (b | b<<2) & 0x3333333333333333
	return (b | b<<1) & 0x5555555555555555
}

// gather keeps every other bit, the lowest included.
func gather(b uint64) uint32 {
	b &= 0x5555555555555555
	b = (b | b>>1) & 0x3333333333333333
	b = (b | b>>2) & 0x0F0F0F0F0F0F0F0F
	b = (b | b>>4) & 0x00FF00FF00FF00FF
	b = (b | b>>8) & 0x0000FFFF0000FFFF
	return uint32(b | b>>16)
}

// moved returns the cell that lies so many cells to the east and north, around the map's edges.
func (c geoCell) moved(east, north int32) geoCell {
	mask := uint32(uint64(1)<<c.steps - 1)
	lat, lon := deinterleave(c.bits)
	if north != 0 { // the edge itself, 85.05112878, has a bit more: it is kept
		lat = (lat + uint32(north)) & mask
	}
	if east != 0 {
		lon = (lon + uint32(east)) & mask
	}
	c.bits = interleave(lat, lon)
	return c
}

// degree is one in radians. Go would round a quotient of constants only once, C rounds pi too.
const degree = float64(math.Pi) / 180

func radians(degrees float64) float64 { return float64(degrees * degree) }
func degrees(radians float64) float64 { return radians / degree }

// latDistance returns the distance along a meridian, in metres.
func latDistance(a, b float64) float64 {
	return earthRadius * math.Abs(radians(b)-radians(a))
}

// geoDistance returns the distance of two positions on a sphere, in metres, by the haversine formula.
func geoDistance(a, b geoPoint) float64 {
	v := sin((radians(b.lon) - radians(a.lon)) / 2)
	if v == 0 {
		return latDistance(a.lat, b.lat)
	}
	latA, latB := radians(a.lat), radians(b.lat)
	u := sin((latB - latA) / 2)
	h := float64(u*u) + float64(cos(latA)*cos(latB)*v*v)
	return 2 * earthRadius * asin(math.Sqrt(h))
}

// geoShape is what is looked for: a circle or a box around a position.
type geoShape struct {
	center        geoPoint
	box           bool
	radius        float64 // in units
	width, height float64 // of a box, in units
	unit          float64 // metres
}

// contains returns the distance of a position from the center, in metres, if it is in the shape.
func (s *geoShape) contains(p geoPoint) (distance float64, ok bool) {
	if !s.box {
		distance = geoDistance(s.center, p)
		return distance, !(distance > s.radius*s.unit)
	}
	if latDistance(p.lat, s.center.lat) > s.height*s.unit/2 {
		return 0, false
	}
	if geoDistance(p, geoPoint{s.center.lon, p.lat}) > s.width*s.unit/2 {
		return 0, false
	}
	return geoDistance(s.center, p), true
}

// bounds returns the rectangle around the shape. Its east and west are where the shape is widest.
func (s *geoShape) bounds() geoArea {
	height, width := s.unit*s.radius, s.unit*s.radius
	if s.box {
		height, width = s.unit*(s.height/2), s.unit*(s.width/2)
	}
	lat := degrees(height / earthRadius)
	edge := s.center.lat + lat
	if s.center.lat < 0 {
		edge = s.center.lat - lat
	}
	lon := degrees(width / earthRadius / math.Cos(radians(edge)))
	return geoArea{
		lon: geoRange{s.center.lon - lon, s.center.lon + lon},
		lat: geoRange{s.center.lat - lat, s.center.lat + lat},
	}
}

// steps returns the bits of each coordinate that cells of about the shape's size have.
func (s *geoShape) steps() uint {
	r := s.radius
	if s.box {
		r = math.Sqrt(float64((s.width/2)*(s.width/2)) + float64((s.height/2)*(s.height/2)))
	}
	r *= s.unit
	if r == 0 {
		return geoSteps
	}
	steps := -1 // so that the shape is in the cell and its neighbours in most cases
	for ; r < mercatorLimit; r *= 2 {
		steps++
	}
	switch lat := math.Abs(s.center.lat); { // near the poles cells are narrow
	case lat > 80:
		steps -= 2
	case lat > 66:
		steps--
	}
	return uint(min(max(steps, 1), geoSteps))
}

// The neighbours of a cell in the order in which Redis searches them; the first is the cell itself.
var geoNeighbours = [9]struct{ east, north int32 }{
	{0, 0}, {0, 1}, {0, -1}, {1, 0}, {-1, 0}, {1, 1}, {-1, 1}, {1, -1}, {-1, -1},
}

// cells returns the cells that cover the shape; those that are not needed are zero.
func (s *geoShape) cells() (list [9]geoCell) {
	b, steps := s.bounds(), s.steps()
	c := cellOf(s.center, lonRange, latRange, steps)
	if steps > 1 && !coveredBy(c, b) {
		steps--
		c = cellOf(s.center, lonRange, latRange, steps)
	}
	a := c.area()
	for i, n := range geoNeighbours {
		useless := steps >= 2 && (n.north < 0 && a.lat.min < b.lat.min || n.north > 0 && a.lat.max > b.lat.max ||
			n.east < 0 && a.lon.min < b.lon.min || n.east > 0 && a.lon.max > b.lon.max)
		if !useless {
			list[i] = c.moved(n.east, n.north)
		}
	}
	return list
}

// coveredBy tells whether bounds lie within a cell and its neighbours.
func coveredBy(c geoCell, b geoArea) bool {
	return !(c.moved(0, 1).area().lat.max < b.lat.max || c.moved(0, -1).area().lat.min > b.lat.min ||
		c.moved(1, 0).area().lon.max < b.lon.max || c.moved(-1, 0).area().lon.min > b.lon.min)
}

// geohashAlphabet are the digits of geohash strings.
const geohashAlphabet = "0123456789bcdefghjkmnpqrstuvwxyz"

// geohashText returns the geohash string of a position: 50 bits in ten digits, with latitudes up to
// the poles, and an eleventh digit that is always 0.
func geohashText(p geoPoint) (text [11]byte) {
	c := cellOf(p, lonRange, geoRange{-90, 90}, geoSteps)
	for i := range 10 {
		text[i] = geohashAlphabet[c.bits>>(52-(i+1)*5)&31]
	}
	text[10] = '0'
	return text
}
