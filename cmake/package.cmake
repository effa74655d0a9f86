# Install rules and the .deb; filled by packaging/.
