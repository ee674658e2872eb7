"""An index that follows a folder of images: new, changed, moved and gone files."""
