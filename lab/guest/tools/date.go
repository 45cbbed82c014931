package tools

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"phoenix-run/lab/guest/proc"
)

func date(_ context.Context, p *proc.Proc) int {
	o := parse(p, "u d: r: s: R I? utc=u universal=u date=d reference=r set=s rfc-email=R iso-8601=I rfc-3339:")
	if o == nil {
		return 1
	}
	now := time.Now().In(zone(p))
	if o.has("u") {
		now = now.UTC()
	}
	when := now
	switch {
	case o.has("s"):
		if p.FS.Cred.UID != 0 {
			p.Errorf("cannot set date: Operation not permitted")
			return 1
		}
		p.Errorf("cannot set date: the clock of a lab's guest is the clock of its host")
		return 1
	case o.has("r"):
		st, err := p.FS.Stat(p.Path(o.val("r")))
		if err != nil {
			p.Errorf("%s: %s", o.val("r"), proc.Text(err))
			return 1
		}
		when = st.ModTime().In(now.Location())
	case o.has("d"):
		t, err := parseDate(o.val("d"), now)
		if err != nil {
			p.Errorf("invalid date ‘%s’", o.val("d"))
			return 1
		}
		when = t.In(now.Location())
	}
	format := "%a %b %e %H:%M:%S %Z %Y"
	switch {
	case len(o.Args) > 0 && strings.HasPrefix(o.Args[0], "+"):
		format = o.Args[0][1:]
	case len(o.Args) > 0:
		p.Errorf("invalid date ‘%s’", o.Args[0])
		return 1
	case o.has("R"):
		format = "%a, %d %b %Y %H:%M:%S %z"
	case o.has("I"):
		format = map[string]string{"": "%Y-%m-%d", "date": "%Y-%m-%d", "seconds": "%Y-%m-%dT%H:%M:%S%:z", "s": "%Y-%m-%dT%H:%M:%S%:z", "minutes": "%Y-%m-%dT%H:%M%:z", "hours": "%Y-%m-%dT%H%:z", "ns": "%Y-%m-%dT%H:%M:%S,%N%:z"}[o.val("I")]
	case o.has("rfc-3339"):
		format = "%Y-%m-%d %H:%M:%S%:z"
	}
	p.Printf("%s\n", strftime(format, when))
	return 0
}

// zone is the guest's time zone: TZ, or what /etc/localtime points to.
func zone(p *proc.Proc) *time.Location {
	name := p.Env["TZ"]
	if name == "" {
		target, err := p.FS.Readlink("/etc/localtime")
		if err != nil {
			return time.UTC
		}
		_, name, _ = strings.Cut(target, "zoneinfo/")
	}
	loc, err := time.LoadLocation(strings.TrimPrefix(name, "Etc/"))
	if err != nil {
		return time.UTC
	}
	return loc
}

var layouts = []string{
	time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02 15:04:05 -0700", "2006-01-02 15:04:05.999999999 -0700", "2006-01-02 15:04:05 MST",
	"2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "20060102", time.RFC1123Z, time.RFC1123, time.UnixDate,
	"Jan _2 15:04:05 2006 MST", "Jan _2 15:04:05 2006", "15:04:05", "15:04",
}

// parseDate reads the forms of GNU date's -d that scripts use.
func parseDate(s string, now time.Time) (time.Time, error) {
	s = strings.TrimSpace(s)
	if rest, found := strings.CutPrefix(s, "@"); found {
		seconds, err := strconv.ParseFloat(rest, 64)
		return time.Unix(0, int64(seconds*1e9)), err
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, s, now.Location()); err == nil {
			if t.Year() == 0 {
				y, m, d := now.Date()
				t = time.Date(y, m, d, t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			}
			return t, nil
		}
	}
	// A date, and so much before or after it.
	if at := strings.LastIndexAny(s, "+-"); at > 0 && s[at-1] == ' ' {
		if base, err := parseDate(s[:at], now); err == nil {
			return relativeDate(s[at:], base)
		}
	}
	return relativeDate(s, now)
}

func relativeDate(s string, now time.Time) (time.Time, error) {
	words := strings.Fields(strings.ToLower(s))
	t := now
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "now", "today":
		case "yesterday":
			t = t.AddDate(0, 0, -1)
		case "tomorrow":
			t = t.AddDate(0, 0, 1)
		default:
			n, err := strconv.Atoi(w)
			if err != nil || i+1 >= len(words) {
				return time.Time{}, fmt.Errorf("invalid date %q", s)
			}
			i++
			unit := strings.TrimSuffix(words[i], "s")
			if i+1 < len(words) && words[i+1] == "ago" {
				n, i = -n, i+1
			}
			switch unit {
			case "second", "sec":
				t = t.Add(time.Duration(n) * time.Second)
			case "minute", "min":
				t = t.Add(time.Duration(n) * time.Minute)
			case "hour":
				t = t.Add(time.Duration(n) * time.Hour)
			case "day":
				t = t.AddDate(0, 0, n)
			case "week":
				t = t.AddDate(0, 0, 7*n)
			case "month":
				t = t.AddDate(0, n, 0)
			case "year":
				t = t.AddDate(n, 0, 0)
			default:
				return time.Time{}, fmt.Errorf("invalid date %q", s)
			}
		}
	}
	if len(words) == 0 {
		y, m, d := now.Date()
		t = time.Date(y, m, d, 0, 0, 0, 0, now.Location())
	}
	return t, nil
}

var verbs = map[byte]string{
	'a': "Mon", 'A': "Monday", 'b': "Jan", 'h': "Jan", 'B': "January", 'c': "Mon Jan _2 15:04:05 2006", 'd': "02", 'D': "01/02/06",
	'e': "_2", 'F': "2006-01-02", 'H': "15", 'I': "03", 'm': "01", 'M': "04", 'p': "PM", 'r': "03:04:05 PM", 'R': "15:04",
	'S': "05", 'T': "15:04:05", 'x': "01/02/06", 'X': "15:04:05", 'y': "06", 'Y': "2006", 'z': "-0700", 'Z': "MST", 'j': "002",
}

// strftime fills date's directives.
func strftime(format string, t time.Time) string {
	var b strings.Builder
	for i := 0; i < len(format); i++ {
		if format[i] != '%' || i+1 >= len(format) {
			b.WriteByte(format[i])
			continue
		}
		i++
		pad := byte(0)
		if strings.IndexByte("-_0^", format[i]) >= 0 && i+1 < len(format) {
			pad = format[i]
			i++
		}
		digits := 0
		for i+1 < len(format) && format[i] >= '1' && format[i] <= '9' {
			digits = int(format[i] - '0')
			i++
		}
		var out string
		switch c := format[i]; c {
		case '%':
			out = "%"
		case 'n':
			out = "\n"
		case 't':
			out = "\t"
		case 's':
			out = strconv.FormatInt(t.Unix(), 10)
		case 'N':
			out = fmt.Sprintf("%09d", t.Nanosecond())
			if digits > 0 {
				out = out[:digits]
			}
		case 'u':
			out = strconv.Itoa((int(t.Weekday())+6)%7 + 1)
		case 'w':
			out = strconv.Itoa(int(t.Weekday()))
		case 'k':
			out = fmt.Sprintf("%2d", t.Hour())
		case 'V':
			_, week := t.ISOWeek()
			out = fmt.Sprintf("%02d", week)
		case 'G':
			year, _ := t.ISOWeek()
			out = strconv.Itoa(year)
		case 'C':
			out = strconv.Itoa(t.Year() / 100)
		case ':':
			if i+1 < len(format) && format[i+1] == 'z' {
				i++
				out = t.Format("-07:00")
			}
		default:
			layout, known := verbs[c]
			if !known {
				out = "%" + string(c)
				break
			}
			out = t.Format(layout)
		}
		switch pad {
		case '-':
			out = strings.TrimLeft(out, "0 ")
			if out == "" {
				out = "0"
			}
		case '^':
			out = strings.ToUpper(out)
		}
		b.WriteString(out)
	}
	return b.String()
}
