"""Printed templates, measured again: does this data, split and CLIP give the numbers that a paper prints?"""
