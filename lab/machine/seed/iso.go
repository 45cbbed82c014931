package seed

import (
	"errors"
	"os"

	"github.com/diskfs/go-diskfs/backend/file"
	"github.com/diskfs/go-diskfs/filesystem/iso9660"
)

// WriteISO puts the files of a seed on an image that cloud-init finds by its label.
func WriteISO(path string, files map[string]string) (err error) {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		return err
	}
	image, err := file.OpenFromPath(path, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, image.Close()) }()
	fs, err := iso9660.Create(image, 0, 0, 2048, "")
	if err != nil {
		return err
	}
	for name, text := range files {
		f, err := fs.OpenFile("/"+name, os.O_CREATE|os.O_RDWR)
		if err != nil {
			return err
		}
		_, err = f.Write([]byte(text))
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return fs.Finalize(iso9660.FinalizeOptions{RockRidge: true, Joliet: true, VolumeIdentifier: "cidata"})
}
