"""Files of annotation tools -> masks, one module for each tool's format."""
