"""An index of another model in place of the present one: encoded aside, compared, swapped, and taken back."""
