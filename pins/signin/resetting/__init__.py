"""A forgotten PIN: asked for, told by a link or a code, replaced by the link, the code or security answers."""
