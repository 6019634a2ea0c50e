"""Bytes and rows that outlive a process.

`database` and `engine` run transactions; `blobs` writes files, here or on a URL; `artifact_store`
keeps pictures, `image_codec` decodes and encodes them, `input_images` takes in those that a request
works from, `mask_reading` tells what a mask means, `contact_sheet` draws many on a page.
"""
