package portainer

import (
	"context"
	"fmt"
	"net/http"
	"slices"
)

// Tags gives the ids of all tags by name.
func (c *Client) Tags(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		ID   int
		Name string
	}
	if err := c.do(ctx, call{op: "listing the tags", method: http.MethodGet, path: "/tags", into: &rows}); err != nil {
		return nil, err
	}
	tags := make(map[string]int, len(rows))
	for _, r := range rows {
		tags[r.Name] = r.ID
	}
	return tags, nil
}

// EnsureTags gives the ids of the named tags, sorted, and makes those that are missing.
func (c *Client) EnsureTags(ctx context.Context, names []string) ([]int, error) {
	if len(names) == 0 {
		return nil, nil
	}
	known, err := c.Tags(ctx)
	if err != nil {
		return nil, err
	}
	var ids []int
	for _, name := range names {
		if _, ok := known[name]; !ok {
			if known[name], err = c.createTag(ctx, name); err != nil {
				return nil, err
			}
		}
		ids = append(ids, known[name])
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

func (c *Client) createTag(ctx context.Context, name string) (int, error) {
	var made struct{ ID int }
	err := c.do(ctx, call{
		op: fmt.Sprintf("making the tag %s", name), method: http.MethodPost, path: "/tags", into: &made,
		body: map[string]string{"Name": name},
	})
	if err == nil {
		return made.ID, nil
	}
	if !IsConflict(err) && !MaybeDone(err) && as(err).Status < 500 {
		return 0, err
	}
	// Another task may just have made it, or this one with the answer lost.
	known, lookErr := c.Tags(ctx)
	if id, ok := known[name]; ok && lookErr == nil {
		return id, nil
	}
	return 0, err
}

// Groups gives the ids of all groups of environments by name. Of several with one name, which the
// server allows, it gives the first.
func (c *Client) Groups(ctx context.Context) (map[string]int, error) {
	var rows []struct {
		ID   int `json:"Id"`
		Name string
	}
	if err := c.do(ctx, call{op: "listing the groups", method: http.MethodGet, path: "/endpoint_groups", into: &rows}); err != nil {
		return nil, err
	}
	groups := make(map[string]int, len(rows))
	for _, r := range rows {
		if id, ok := groups[r.Name]; !ok || r.ID < id {
			groups[r.Name] = r.ID
		}
	}
	return groups, nil
}
